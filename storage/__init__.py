"""Bytes and rows: the object store that holds the truth. Knows nothing of training, Ray or MLflow."""
