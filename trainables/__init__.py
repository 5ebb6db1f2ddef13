"""Everything that a Ray worker imports: configs, stages, networks, losses, metrics and data sets."""
