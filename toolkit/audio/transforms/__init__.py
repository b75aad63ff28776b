"""Transforms: from waveforms to waveforms."""
