"""What a terminal shows: progress, tables, status, plans."""
