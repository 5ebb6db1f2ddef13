"""The object store of bytes and records, from which all views are made. Independent of training, Ray and MLflow."""
