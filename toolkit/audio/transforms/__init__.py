"""Transforms: from waveforms to waveforms, and from features to features."""
