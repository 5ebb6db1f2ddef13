"""Weights of decoders that were trained elsewhere."""
