"""Checkpoints of other code: what their keys are called, one source a file."""
