"""Model directories: saving and loading networks."""
