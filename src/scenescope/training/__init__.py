"""The training loop, its schedule, sampler, checkpoints and log."""
