"""What the records of an ablation mean: collected values, findings, power."""
