"""Figures of sweeps and of data sets."""
