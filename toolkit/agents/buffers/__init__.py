"""Replay and rollout buffers, one file each."""
