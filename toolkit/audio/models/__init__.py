"""Models that hear, by name."""
