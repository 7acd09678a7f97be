from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from scenescope.cli.main import main
from scenescope.errors import DataError
from scenescope.recipes import reader

COMMANDS = {
    "demo",
    "check",
    "train",
    "evaluate",
    "compare",
    "predict",
    "video",
    "attend",
    "submit",
    "recipes",
    "models",
}


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["scenescope", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    code = left.value.code
    assert isinstance(code, int)
    return code


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--help") == 0
    words = capsys.readouterr().out.split()
    assert set(words) >= COMMANDS
    assert call(monkeypatch, "-h") == 0


def test_version_names_packages_and_devices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--version") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scenescope 0.")
    assert f"torch {torch.__version__.partition('+')[0]}" in "\n".join(lines)
    assert f"device cpu: {torch.get_num_threads()} threads" in lines


def test_a_users_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "recipes", "camvid/danet-light0") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "error: There is no recipe 'camvid/danet-light0'. Did you mean 'camvid/danet-lite0'?"
        " 'scenescope recipes' lists them all.\n"
    )


def test_an_error_of_several_lines_is_told_in_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> dict[str, str]:
        raise DataError("first\n  second")

    monkeypatch.setattr(reader, "list_recipes", fail)
    assert call(monkeypatch, "recipes") == 2
    assert capsys.readouterr().err == "error: first second\n"


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(["nonsense"], "scenescope"), (["recipes", "--nonsense"], "scenescope recipes"), (["train"], "scenescope train")],
)
def test_wrong_usage_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], command: str
) -> None:
    assert call(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f". See {command} --help.")


def test_an_interruption_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> Iterator[None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(reader, "list_recipes", interrupt)
    assert call(monkeypatch, "recipes") == 130


def test_sigterm_unwinds_and_is_exit_code_143(monkeypatch: pytest.MonkeyPatch) -> None:
    unwound = []

    def terminated() -> dict[str, str]:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            unwound.append(True)
        return {}

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(reader, "list_recipes", terminated)
    assert call(monkeypatch, "recipes") == 143
    assert unwound == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reader, "list_recipes", fail)
    monkeypatch.setattr(sys, "argv", ["scenescope", "recipes"])
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError(), "more memory than there is"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nto allocate"),
            "more memory than there is",
        ),
        (torch.OutOfMemoryError("CUDA out of memory."), "more memory than there is"),
        (OSError(errno.EIO, os.strerror(errno.EIO), "photo.jpg"), "Cannot use 'photo.jpg': Input/output error"),
    ],
)
def test_what_the_machine_has_not_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(reader, "list_recipes", fail)
    assert call(monkeypatch, "recipes") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert told in line


@pytest.mark.parametrize("bug", [RuntimeError("expected 3 channels"), OSError("no number"), OSError(errno.ENOTTY, "x")])
def test_other_errors_of_the_same_kinds_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    def fail() -> None:
        raise bug

    monkeypatch.setattr(reader, "list_recipes", fail)
    monkeypatch.setattr(sys, "argv", ["scenescope", "recipes"])
    with pytest.raises(type(bug)) as raised:
        main()
    assert raised.value is bug


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("command", "code", "lines"),
    [
        ("recipes > /dev/full", 2, 1),
        ("--help > /dev/full", 2, 1),
        ("--version > /dev/full", 2, 1),
        ("recipes nonsense 2> /dev/full", 2, 0),
        ("recipes >&-", 0, 0),
        ("recipes nonsense >&-", 2, 1),
        ("recipes nonsense 2>&-", 2, 0),
        ("recipes nonsense <&- >&- 2>&-", 2, 0),
    ],
)
def test_output_that_is_closed_or_full_is_at_most_one_line(command: str, code: int, lines: int) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m scenescope {command}", shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == lines, done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "scenescope", "recipes", "camvid/danet-lite0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
