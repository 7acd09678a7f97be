"""Signals: the first is remembered and told, the second does what it did before."""

import signal
from types import FrameType

import pytest

from scenescope.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_goes_to_the_handler_before(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    received: list[int] = []

    def handler(which: int, frame: FrameType | None) -> None:
        received.append(which)

    before = signal.signal(number, handler)
    try:
        interruption = Interruption()
        with interruption.watched():
            signal.raise_signal(number)
            assert (interruption.signal, received) == (number, [])
            assert "Finishing the step and saving; once more ends at once." in capfd.readouterr().err
            signal.raise_signal(number)
            assert received == [number]
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_only_the_first_of_several_processes_tells(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    interruption = Interruption()
    with interruption.watched():
        signal.raise_signal(signal.SIGINT)
    assert interruption.signal == signal.SIGINT
    assert capfd.readouterr().err == ""
