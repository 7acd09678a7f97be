"""Saying what to do when something needs more memory than there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from scenescope.errors import ScenescopeError


@contextlib.contextmanager
def memory_errors(error_class: type[ScenescopeError], what: str, remedy: str) -> Iterator[None]:
    """Turn a lack of memory within a ``with`` block, on any device, into an error of one line.

    Args:
        error_class: of the error.
        what: what needs the memory, the subject of a sentence.
        remedy: what a user can do, its end.

    Raises:
        ScenescopeError: of ``error_class``: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise error_class(f"{what} needs more memory than there is; {remedy}.") from error


def lacks_memory(error: Exception) -> bool:
    """Tell whether an error is a lack of memory; torch's allocator for the CPU and runtimes say it in words only."""
    words = ("allocate memory", "bad_alloc", "bad allocation")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)
