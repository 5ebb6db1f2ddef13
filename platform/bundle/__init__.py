"""A study as one folder: written whole, read only if every byte is as promised."""
