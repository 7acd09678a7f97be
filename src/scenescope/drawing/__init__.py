"""Overlays, legends, heat maps and charts."""
