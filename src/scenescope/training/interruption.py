"""Ctrl-C and SIGTERM: finish the step, save, and end; a second one does what it would do without this."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interruption:
    """Remembers the signal that asked the training to end."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Tell whether a signal has come."""
        return self.signal is not None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Catch SIGINT and SIGTERM within a ``with`` block; outside the main thread nothing is caught."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        self.signal = number
        if os.environ.get("RANK", "0") == "0":
            # Not print: the signal may come while something is being printed.
            os.write(2, b"\nFinishing the step and saving; once more ends at once.\n")
