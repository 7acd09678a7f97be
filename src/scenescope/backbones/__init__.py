"""Backbones: timm networks with output stride and multi-grid, and their ImageNet weights."""
