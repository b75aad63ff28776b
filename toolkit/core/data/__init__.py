"""Data sets: files by their endings, and scikit-learn's bundled tables."""
