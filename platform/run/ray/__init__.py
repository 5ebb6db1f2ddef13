"""The same on Ray: cluster, trials, schedulers, placement."""
