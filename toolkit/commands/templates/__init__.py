"""What `toolkit new-plugin` writes, one module a kind: working components, copied under another name."""
