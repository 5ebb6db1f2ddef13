"""Judges videos of any system against the truth."""
