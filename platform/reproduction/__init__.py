"""Runs recorded trials again and compares: which ones, what can be restored, the repetition, the comparison."""
