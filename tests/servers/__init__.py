"""Real servers that tests start and stop on loopback, by process id."""
