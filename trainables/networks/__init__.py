"""The networks of decoders and generator, as plain `torch.nn` modules. Independent of Ray and of training."""
