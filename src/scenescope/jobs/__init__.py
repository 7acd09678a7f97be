"""Predictions of many files: folders of images, maps, videos; what was done is known again and never lost."""
