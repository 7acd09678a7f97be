import socket

import pytest

from scenescope.explore import timed
from scenescope.explore.timed import Timed


def test_bytes_that_come_now_and_then_have_one_time_together(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timed.time, "monotonic", lambda: now[0])
    here, there = socket.socketpair()
    with here, there:
        reader = Timed(here, 60)
        for second in (0, 18, 36, 54):
            now[0] = second
            there.sendall(b"x")
            assert reader.read(1) == b"x"
        now[0] = 72
        there.sendall(b"x")
        with pytest.raises(TimeoutError):
            reader.read(1)
        reader.begin()
        assert reader.read(1) == b"x"
