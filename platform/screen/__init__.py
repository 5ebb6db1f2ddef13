"""Output on the terminal: progress, tables, status, plans."""
