"""The learning rate, a pure function of the step."""

from __future__ import annotations

from scenescope.config import TrainSettings


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return the backbone's rate at a step: linear warm-up to poly.

    poly (DANet and SANet papers, power 0.9):  rate * (1 - step / steps) ** power, at least the minimum rate.

    Args:
        step: 0 for the first optimizer step, below ``settings.steps``.
    """
    falling: float = settings.lr * (1 - step / settings.steps) ** settings.poly_power
    lr = max(falling, settings.min_lr)
    if step < settings.warmup_steps:
        lr *= (step + 1) / settings.warmup_steps
    return lr
