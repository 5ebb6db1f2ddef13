"""What people see of a study: MLflow, Optuna, progress, tables and figures, all made from events."""
