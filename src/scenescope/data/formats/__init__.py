"""Annotations of other tools, in and out: one file per format."""
