"""The phantom: a small world of moving shapes whose every cause is known, the embedded default data set."""
