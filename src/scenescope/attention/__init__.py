"""Attention modules, usable alone; torch only."""
