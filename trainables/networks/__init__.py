"""The decoders as plain `torch.nn` modules: no Ray, no config files, no training."""
