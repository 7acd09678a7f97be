"""Reading from a connection with a limit on the whole time, not on each wait."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class Timed(io.RawIOBase):
    """What a connection sends, all of it within a time: a byte now and then must not hold it for ever.

    Args:
        connection: its own limit is changed with every read.
        seconds: from ``begin`` on.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._seconds = connection, seconds
        self.begin()

    def begin(self) -> None:
        """Start the time anew."""
        self._end = time.monotonic() + self._seconds

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Take what has come.

        Raises:
            TimeoutError: the time is over.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
