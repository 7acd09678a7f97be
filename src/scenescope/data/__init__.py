"""Data sets, reading of pictures, the label guard and transforms."""
