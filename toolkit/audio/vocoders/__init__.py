"""Vocoders: from mel frames back to sound."""
