"""Policy bodies, one file each."""
