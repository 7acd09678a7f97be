"""Ctrl-C and SIGTERM: finish the step, save, and end; a second one ends at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interruption:
    """Remembers the signal that asked the training to end."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Catch SIGINT and SIGTERM within a ``with`` block; outside the main thread nothing is caught."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
