"""Statistics of comparison: what may be said about two conditions, from arrays alone (numpy and scipy, no engine)."""
