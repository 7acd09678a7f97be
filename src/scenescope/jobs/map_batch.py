"""Label maps of many maps in a folder, going on past those that fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from scenescope.errors import ImageError, ScenescopeError, StorageError
from scenescope.files import held_directory, make_directory, remove_partial, sha256, staged_files
from scenescope.inference.guards import memory_errors
from scenescope.inference.segmenter import Segmenter
from scenescope.jobs.batch import BatchResult
from scenescope.jobs.inputs import ImageFile
from scenescope.jobs.maps import MapResult, predict_map, require_map_settings
from scenescope.jobs.record import Entry, Record, content_of, fingerprint

MAP_LABELS, MAP_PROBABILITIES = "_labels.tif", "_probabilities.tif"
"""What is written about a map: its name with these."""


def map_endings(probabilities: bool) -> tuple[str, ...]:
    """Return the endings of the files that are written about each map."""
    return (MAP_LABELS, MAP_PROBABILITIES) if probabilities else (MAP_LABELS,)


def predict_maps(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    output: Path,
    *,
    probabilities: bool = False,
    resume: bool = False,
    progress: Callable[[ImageFile, float], object] = lambda _, __: None,
) -> BatchResult:
    """Write the label map of every map under ``output``; see ``predict_map``.

    Args:
        resume: leave out maps that are unchanged since they were predicted by this model with these settings, and
            whose files are as they were written.
        progress: told a map and the share of its rows that are done.

    Raises:
        ModelError: settings that do not fit maps.
        StorageError: the output cannot be written, is in use, or holds what was not written about these maps.
    """
    require_map_settings(segmenter)
    endings, result = map_endings(probabilities), BatchResult()
    make_directory(output)
    with held_directory(output):
        record, made_by = Record(output), fingerprint(segmenter)
        for file in files:
            try:
                if not (resume and record.find_done(file, made_by, endings)):
                    record.require_ours(file, endings)
                    result.notes += _predict(segmenter, file, record, endings, made_by, progress).notes
                result.done.append(file)
            except StorageError:
                raise
            except ScenescopeError as error:
                result.fail(file, error)
    return result


def require_free_maps(files: Sequence[ImageFile], output: Path, endings: tuple[str, ...]) -> None:
    """Refuse an output where something would be replaced that was not written about these very maps.

    Raises:
        StorageError: a file is in the way.
    """
    record = Record(output)
    for file in files:
        record.require_ours(file, endings)


def _predict(
    segmenter: Segmenter,
    file: ImageFile,
    record: Record,
    endings: tuple[str, ...],
    made_by: str,
    progress: Callable[[ImageFile, float], object],
) -> MapResult:
    place = record.folder / file.name
    remove_partial(place.parent)
    # Taken before it is read: a map that changes in between will not pass for this one.
    content = content_of(file.path)
    labels, *others = (record.folder / f"{file.name}{ending}" for ending in endings)
    with staged_files() as files, memory_errors(ImageError, str(file.path), "take a smaller --window or --stride"):
        done = predict_map(
            segmenter, file.path, files, labels, others[0] if others else None, lambda share: progress(file, share)
        )
        written = {path.name.removeprefix(place.name): sha256(here) for path, here in files.temporaries.items()}
        entry = Entry(file.name, os.path.abspath(file.path), content, made_by, "map", [str(file.path)], written)
        record.add(entry)
        record.remove_others(entry, (MAP_LABELS, MAP_PROBABILITIES))
    return done
