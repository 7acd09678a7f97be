"""Recipes: the settings of a run, and the only reader of YAML."""
