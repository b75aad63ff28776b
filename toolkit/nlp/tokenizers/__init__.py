"""Tokenizers, one way of cutting text each."""
