"""A progress of trainings that tells nothing."""

from __future__ import annotations

from typing import Any


class Silent:
    """A progress that tells nothing."""

    def started(self, step: int, steps: int) -> None:
        """Tell nothing."""

    def stepped(self, step: int, loss: float | None, lr: float) -> None:
        """Tell nothing."""

    def validated(self, row: dict[str, Any]) -> None:
        """Tell nothing."""

    def note(self, text: str) -> None:
        """Tell nothing."""
