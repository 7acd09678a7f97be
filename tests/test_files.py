"""Writing: all or nothing, and damage is found."""

import contextlib
import csv
import errno
import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from scenescope import files
from scenescope.errors import StorageError


def fill(text: str):
    def write(place: Path) -> None:
        (place / "a.txt").write_text(text)
        (place / "b.bin").write_bytes(bytes(100))

    return write


def full(place: Path) -> None:
    (place if place.suffix else place / "a.txt").write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    files.write_text(path, "old")
    with pytest.raises(
        StorageError, match=r"Cannot write .*scores.json \(7 bytes needed\): No space left.*free some space"
    ):
        files.write_atomically(path, full, 7)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.json"]


def test_a_failed_directory_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model"
    files.write_directory(path, fill("old"))
    with pytest.raises(StorageError, match="free some space"):
        files.write_directory(path, full, 10)
    assert (path / "a.txt").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    files.write_directory(path, fill("new"))
    assert (path / "a.txt").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_crash_between_the_two_moves_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "model"
    files.write_directory(path, fill("old"))
    path.rename(tmp_path / ".model.previous")
    assert files.whole_directory(path) == tmp_path / ".model.previous"  # a reader moves nothing
    assert not path.exists()
    files.recover_directory(path)
    assert (path / "a.txt").read_text() == "old"
    assert files.whole_directory(path) == path


def test_an_output_that_failed_empty_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.output_directory(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="planted"), files.output_directory(tmp_path / "there"):
        raise ValueError("planted")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "result").write_text("some")
    with pytest.raises(ValueError, match="planted"), files.output_directory(tmp_path / "kept"):
        raise ValueError("planted")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["kept", "there"]


def test_a_file_without_a_checksum_is_damage_only_where_it_is_needed(tmp_path: Path) -> None:
    files.write_directory(tmp_path / "model", fill("text"))
    (tmp_path / "model" / ".DS_Store").write_text("x")
    (tmp_path / "model" / "kept").mkdir()
    assert files.damaged_file(tmp_path / "model", "a.txt", "b.bin") is None
    assert files.damaged_file(tmp_path / "model", "a.txt", ".DS_Store") == ".DS_Store"


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    for attempt in (
        lambda: files.make_directory(tmp_path / "out"),
        lambda: files.write_text(tmp_path / "out" / "x.txt", "x"),
        lambda: files.write_directory(tmp_path / "out", fill("x")),
    ):
        with pytest.raises(StorageError, match="in the way; move it or choose another --output"):
            attempt()
    assert (tmp_path / "out").read_text() == "in the way"


@pytest.mark.parametrize("name", ["a.txt", "b.bin", files.CHECKSUMS])
def test_every_flipped_byte_and_every_cut_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model"
    files.write_directory(path, fill("some text"))
    whole = (path / name).read_bytes()
    for position in range(len(whole) - 1):  # cutting the last newline alone changes no meaning
        flipped = bytearray(whole)
        flipped[position] ^= 1
        for damaged in (bytes(flipped), whole[:position]):
            (path / name).write_bytes(damaged)
            assert files.damaged_file(path, "a.txt", "b.bin") is not None, (name, position)
    (path / name).write_bytes(whole)
    assert files.damaged_file(path, "a.txt", "b.bin") is None


def test_partial_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".partial-abc").mkdir()
    (tmp_path / ".partial-abc" / "x").write_text("x")
    (tmp_path / ".partial-def.json").write_text("x")
    (tmp_path / "kept.json").write_text("x")
    files.remove_partial(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.json"]


def test_a_directory_is_held_by_one_process_and_free_after_its_death(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom scenescope.files import held_directory\n"
        "with held_directory(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="is in use by another process"), files.held_directory(tmp_path):
            pass
        holder.kill()
    with files.held_directory(tmp_path) as kept:
        assert kept
        # Any file closed would be the end of a lock of the other kind (POSIX), which a process may also hold twice.
        (tmp_path / ".lock").open().close()
        with pytest.raises(StorageError, match="is in use"), files.held_directory(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_staged_files_are_moved_together_or_not_at_all(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("older")
    with files.staged_files() as staged:
        staged.write(first, lambda place: place.write_text("new"))
        staged.write(second, lambda place: place.write_text("new"))
        assert first.read_text() == "older"
        assert not second.exists()
    assert (first.read_text(), second.read_text()) == ("new", "new")

    def fail_at_the_second():
        with files.staged_files() as staged:
            staged.write(first, lambda place: place.write_text("newer"))
            staged.write(second, raise_memory_error)

    with pytest.raises(MemoryError):
        fail_at_the_second()
    assert first.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_staged_file_that_fails_may_be_done_without(tmp_path):
    with files.staged_files() as staged:
        staged.write(tmp_path / "kept", lambda place: place.write_text("kept"))
        with contextlib.suppress(MemoryError):
            staged.write(tmp_path / "lost", raise_memory_error)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def raise_memory_error(place):
    place.write_text("half")
    raise MemoryError


def test_a_lock_that_its_holder_removes_is_not_held_by_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B opens the lock of A; A ends and removes it; C starts; only then B locks what it has opened."""
    held: list[str] = []
    flock = fcntl.flock
    third = ExitStack()

    def delayed(file: object, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        first.close()
        third.enter_context(files.held_directory(tmp_path))
        held.append("C")
        flock(file, operation)

    first = ExitStack()
    first.enter_context(files.held_directory(tmp_path))
    monkeypatch.setattr(fcntl, "flock", delayed)
    with pytest.raises(StorageError, match="is in use"), files.held_directory(tmp_path):
        held.append("B")
    assert held == ["C"]
    third.close()
    assert list(tmp_path.iterdir()) == []


def test_forked_processes_do_not_keep_the_lock_of_a_process_that_has_ended(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom scenescope.files import held_directory\n"
        "with held_directory(Path(sys.argv[1])):\n"
        "    ours, theirs = os.pipe()\n"
        "    if os.fork() == 0:\n        os.write(theirs, b'.')\n        sys.stdin.read()\n        os._exit(0)\n"
        "    os.read(ours, 1)\n    print('forked', flush=True)\n    os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.wait() == -9
        with files.held_directory(tmp_path):
            pass
        holder.communicate("")  # the fork still reads


def test_a_disk_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with files.held_directory(tmp_path) as kept:
        assert not kept


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    path, disk = tmp_path / "run" / "best", tmp_path / "disk"
    files.write_directory(disk / "best", fill("old"))
    path.parent.mkdir()
    path.symlink_to(disk / "best")
    (path.parent / ".best.previous").symlink_to(disk / "best")  # what an older version has left
    files.recover_directory(path)
    files.write_directory(path, fill("new"))
    assert path.is_symlink()
    assert (disk / "best" / "a.txt").read_text() == "new"
    (disk / "best").rename(disk / ".best.previous")
    assert files.whole_directory(path) == disk / ".best.previous"
    files.recover_directory(path)
    assert [entry.name for entry in disk.iterdir()] == ["best"]


def test_what_is_written_has_the_usual_mode_and_the_mask_of_the_process_is_never_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)

    def never(mask: int) -> int:
        raise AssertionError("another thread's files would have this mode")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", never)
            files.write_text(tmp_path / "text", "x")
            files.write_directory(tmp_path / "model", fill("x"))
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("text", "model")] == [0o640, 0o750]


def test_a_table_for_spreadsheets_holds_numbers_and_no_formulas(tmp_path: Path) -> None:
    rows = [["=1+1", "+a", "-b", "@c", "\tx", "\ry", "plain"], [-0.25, 3, None, "", "a,b", 'say "x"', "a\nb"]]
    files.write_csv(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.reader(file)
    assert first == ["'=1+1", "'+a", "'-b", "'@c", "'\tx", "'\ry", "plain"]
    assert second == ["-0.25", "3", "", "", "a,b", 'say "x"', "a\nb"]
    files.write_csv(tmp_path / "table.csv", [["new", "\udcff"]])
    assert (tmp_path / "table.csv").read_bytes() == b"new,\\udcff\r\n"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
