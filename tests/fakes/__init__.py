"""Writes small, deterministic files in the exact formats of published data sets."""
