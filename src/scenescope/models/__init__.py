"""Segmentation networks, one paper a file, their options and the catalog."""
