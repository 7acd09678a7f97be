"""The command ``scenescope``: its commands, its exit codes and how it tells a user's mistake.

Exit codes: 0 done; 1 finished, but some inputs failed; 2 a mistake of the user or unfit data; 130 or 143 interrupted
and saved. No command imports torch before it is called, so that help is quick.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from scenescope.cli.areas import areas
from scenescope.cli.attend import attend
from scenescope.cli.benchmark import benchmark
from scenescope.cli.check import check
from scenescope.cli.compare import compare
from scenescope.cli.convert import convert
from scenescope.cli.evaluate import evaluate
from scenescope.cli.export import export
from scenescope.cli.import_data import import_data
from scenescope.cli.models import models
from scenescope.cli.page import page
from scenescope.cli.polygons import polygons
from scenescope.cli.predict import predict
from scenescope.cli.recipes import recipes
from scenescope.cli.train import train
from scenescope.cli.video import video
from scenescope.errors import ScenescopeError, visible
from scenescope.lab_names import from_lab

_OPTIONS: dict[str, Any] = {
    "add_completion": False,
    # A traceback means a fault of ours; Python's own is the one that belongs into a report.
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
_OF_THE_LAB = {
    "demo": "Train a small DANet on generated street scenes, score it, and look at what it attends to; some minutes.",
    "submit": "Predict a test split and write what its server takes, or validate that.",
    "ablate": "Train a grid of networks over seeds and print the table; called again, it goes on where it stopped.",
}
"""The commands that ``scenescope.lab`` has, which is loaded only when one of them is called."""


def _from_lab(context: typer.Context) -> None:
    """Call a command of the lab with all that follows its name."""
    name = str(context.info_name)
    command = typer.Typer(**_OPTIONS)
    command.command(name)(from_lab(name))
    code = command(context.args, prog_name=context.command_path, standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)


app = typer.Typer(help="Scene segmentation with attention you can look into.", invoke_without_command=True, **_OPTIONS)
for command in (
    "demo",
    import_data,
    check,
    train,
    evaluate,
    compare,
    predict,
    polygons,
    areas,
    video,
    attend,
    page,
    "submit",
    convert,
    export,
    "ablate",
    recipes,
    models,
    benchmark,
):
    if isinstance(command, str):
        passed_on = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
        app.command(command, help=_OF_THE_LAB[command], context_settings=passed_on | {"help_option_names": []})(
            _from_lab
        )
    else:
        # ``import`` is a word of Python's own.
        app.command("import" if command is import_data else None)(command)


def main() -> None:
    """Run the command line and leave with its exit code."""
    _fill_closed_streams()
    # Names may hold characters that a console or pipe of another encoding lacks; results are not lost for their sake.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            code = app(prog_name="scenescope", standalone_mode=False)
        finally:
            signal.signal(signal.SIGTERM, before)
            sys.stdout.flush()
    except ScenescopeError as error:
        _refuse(str(error))
    except _Terminated:
        sys.exit(128 + signal.SIGTERM)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        _give_up_output()  # whoever read it (head, less) has gone
        sys.exit(1)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        if isinstance(error, OSError) and error.filename is None:
            _give_up_output()
        _refuse(told)
    sys.exit(code if isinstance(code, int) else 0)


_LACKING = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EBADF")
}
"""What the machine has not, or no longer."""


class _Terminated(BaseException):
    """SIGTERM, as an exception that unwinds like Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _told(error: Exception) -> str | None:
    """Return what to tell of an error that no fault of ours causes: usage, and what the machine has not; else None."""
    # Typer's usage errors, which some of its versions take from click and some from a copy of their own.
    if hasattr(error, "format_message") and hasattr(error, "ctx"):
        command = error.ctx.command_path if error.ctx is not None else "scenescope"
        return f"{error.format_message().rstrip('.')}. See {command} --help."
    if isinstance(error, OSError) and error.filename is not None:  # nearly always a name that no file can have
        return f"Cannot use {str(error.filename)[:80]!r}: {error.strerror}; check the path."
    if isinstance(error, OSError) and error.errno in _LACKING:
        return f"Cannot go on: {error.strerror}; look where the output goes, and at what else the machine does."
    if isinstance(error, RecursionError):
        return "A file that was given is nested too deeply to be read; give the one that scenescope wrote."
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":
        return "This needs more memory than there is; give smaller files or images, or stop other programs."
    return None


def _fill_closed_streams() -> None:
    """Let streams that are closed lead nowhere; else the next file to be opened would stand in their place."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115


def _give_up_output() -> None:
    """Let what could not be printed lead nowhere; it would fail once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(message: str) -> NoReturn:
    with contextlib.suppress(OSError):  # there is no other place to tell it
        print("error:", visible(" ".join(message.split())), file=sys.stderr)
    sys.exit(2)


def _print_versions(asked: bool) -> None:
    if not asked:
        return
    import platform
    from importlib.metadata import version

    from scenescope.device import described, device_names

    print("scenescope", version("scenescope"))
    print("Python", platform.python_version(), "on", platform.platform())
    for package in ("torch", "torchvision", "timm"):
        print(package, version(package))
    for name in device_names():
        print("device", described(name))
    raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_versions, is_eager=True, help="Print versions and devices."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
