"""Ratios against what a user would use instead."""
