"""Data sets of sound, by name."""
