"""Analysis of the records of an ablation: collected values, findings, power."""
