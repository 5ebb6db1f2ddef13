"""What happened: events, records of trials, results, tables, and a study read back from the store."""
