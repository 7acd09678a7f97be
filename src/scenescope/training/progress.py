"""How a training tells what it does."""

from __future__ import annotations

from typing import Any, Protocol


class Progress(Protocol):
    """Receives the course of a training; the command line draws it."""

    def started(self, step: int, steps: int) -> None:
        """The first step to come and the step to stop before."""

    def stepped(self, step: int, loss: float | None, lr: float) -> None:
        """A step is done; the loss is given for logged steps."""

    def validated(self, row: dict[str, Any]) -> None:
        """A row of validation scores was logged."""

    def note(self, text: str) -> None:
        """Something the user should know."""
