"""Text data sets: made on the machine, and text that ships with Python."""
