"""Agents on TorchRL's losses, advantages and target updates."""
