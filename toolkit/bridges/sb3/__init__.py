"""Stable-Baselines3's algorithms as agents, and its files."""
