"""The stages: one module each, with a function `run`."""
