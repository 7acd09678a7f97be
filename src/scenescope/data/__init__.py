"""Data sets, reading of images, the label guard and transforms."""
