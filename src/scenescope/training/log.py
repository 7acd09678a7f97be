"""The log of a run: one JSON object per line, and TensorBoard if asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scenescope.errors import TrainingError
from scenescope.files import make_directory, storage_errors, write_text
from scenescope.old_names import OLD_LOG_KEYS

Row = dict[str, Any]


def read_log(path: Path) -> list[Row]:
    """Return the rows of a log; lines that are none, such as one cut short by a crash, are left out."""
    if not path.is_file():
        return []
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append({OLD_LOG_KEYS.get(str(key), str(key)): value for key, value in row.items()})
    return rows


class Log:
    """Appends rows to ``log.jsonl`` of a run directory.

    Args:
        directory: the run directory.
        after_step: rows of later steps are removed first, as they will be written again.
        tensorboard: also write TensorBoard's event files.

    Raises:
        TrainingError: TensorBoard is asked for and not installed.
        StorageError: the directory cannot be written.
    """

    def __init__(self, directory: Path, *, after_step: int, tensorboard: bool) -> None:
        self.path = make_directory(directory) / "log.jsonl"
        self.rows: list[Row] = [row for row in read_log(self.path) if row["step"] <= after_step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
        self.board = _tensorboard(directory, after_step) if tensorboard else None

    def validation(self, step: int) -> Row | None:
        """Return the scores of a step if it has been validated."""
        found = [row for row in self.rows if row["step"] == step and isinstance(row.get("val/miou"), float)]
        return found[-1] if found else None

    def write(self, row: Row) -> None:
        """Append a row; it holds at least "step"."""
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is not None:
            for key, value in row.items():
                if isinstance(value, int | float) and key != "step":
                    self.board.add_scalar(key, value, row["step"])

    def close(self) -> None:
        """Flush TensorBoard's files."""
        if self.board is not None:
            self.board.close()


def _tensorboard(directory: Path, after_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "train.tensorboard=true needs TensorBoard: pip install 'scenescope[logs]', or leave it out."
        ) from error
    return SummaryWriter(str(directory / "tensorboard"), purge_step=after_step + 1)
