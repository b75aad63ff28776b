"""Text models, by name."""
