"""Elastic encoder-decoder transformers: their space, the shared weights, one sub-network, decoding and training."""
