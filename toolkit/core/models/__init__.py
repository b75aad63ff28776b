"""Models that no room of their own claims."""
