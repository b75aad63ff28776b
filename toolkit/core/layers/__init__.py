"""Layers by name. Shapes: B sequences, T positions, D width, H heads."""
