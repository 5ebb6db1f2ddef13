"""What is measured: the registry of metrics (light) and their pure functions."""
