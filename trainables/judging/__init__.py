"""Judging videos against the truth: for the evaluate stage, and for the verb that judges any system's videos."""
