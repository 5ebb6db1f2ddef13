"""Evaluation of videos against the truth, for the evaluate stage and for the verb `platform.evaluate`."""
