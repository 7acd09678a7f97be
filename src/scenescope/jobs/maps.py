"""Maps too large to be held: read through windows, and written as they are done, band of rows by band of rows.

Windows, and how they are blended, are those of an image in memory (``predict_windows``), so the labels are the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.bands import BandRule
from scenescope.data.raster import Raster, RasterFacts, RasterWriter
from scenescope.data.raster_bands import chosen_bands, color_bands, read_seen
from scenescope.errors import ImageError, ModelError
from scenescope.files import StagedFiles
from scenescope.inference.predictor import require_windows, window_starts
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import IGNORE

_COLUMNS = 4096
"""Columns that are read at once: a map's rows are long, and reading takes several times what is read."""
PROBABILITY_STEPS = 254
"""Probabilities are written as whole numbers, 0 for 0 and this for 1; 255 is nodata."""


class MapSource:
    """A map as a network sees it: rows of windows of it, and where they hold anything.

    Attributes:
        notes: what a user should know of how the map is read, one sentence each.
        valid: whether there is anything, for the rows read last.

    Raises:
        ImageError: of numbers or with bands that the network does not read.
    """

    def __init__(self, raster: Raster, device: torch.device, rule: BandRule | None = None) -> None:
        self.facts = raster.facts
        self.notes: list[str] = []
        self._raster, self._device = raster, device
        colors = color_bands(self.facts)
        if rule is None and len(colors) > 3:
            self.notes.append(f"{self.facts.path} has {len(colors)} bands; the first three are taken for RGB.")
            rule = BandRule(tuple(colors[:3]))
        self._rule, self._bands = rule, chosen_bands(self.facts, rule)
        self._top = 0
        self._seen, self.valid = read_seen(raster, 0, 0, self.facts.width, 0, self._bands, rule)

    def rows(self, rows: slice) -> Tensor:
        """Return rows of the map as the network sees it, 1 x C x h x W; those read before are kept.

        Raises:
            ImageError: the file is damaged or cut short there.
        """
        top, count, width = self._top, rows.stop - rows.start, self.facts.width
        known = max(top + len(self._seen) - rows.start, 0)
        seen, valid = self._seen, self.valid
        if len(seen) != count:
            seen, valid = np.empty((count, *seen.shape[1:]), seen.dtype), np.empty((count, width), np.bool_)
        seen[:known], valid[:known] = (kept[len(kept) - known :] for kept in (self._seen, self.valid))
        fresh = rows.start + known
        for left in range(0, width, _COLUMNS):
            right = min(left + _COLUMNS, width)
            seen[known:, left:right], valid[known:, left:right] = read_seen(
                self._raster, left, fresh, right - left, rows.stop - fresh, self._bands, self._rule
            )
        self._top, self._seen, self.valid = rows.start, seen, valid
        return torch.from_numpy(self._seen).permute(2, 0, 1)[None].to(self._device)

    def holds_any(self, columns: slice) -> bool:
        """Tell whether there is anything in these columns of the rows read last."""
        return bool(self.valid[:, columns].any())


@dataclasses.dataclass(frozen=True)
class MapResult:
    """What became of a map.

    Attributes:
        pixels: how many there are of each class, K numbers.
        nodata: how many pixels hold nothing and have no class.
        notes: what a user should know of how the map was read, one sentence each.
    """

    facts: RasterFacts
    pixels: npt.NDArray[np.int64]
    nodata: int
    notes: list[str]


def predict_map(
    segmenter: Segmenter,
    path: Path,
    files: StagedFiles,
    labels: Path,
    probabilities: Path | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> MapResult:
    """Segment a map and write its label map, and on demand its probabilities, as GeoTIFFs that lie upon it.

    The label map holds the class of every pixel, with colors and names, and 255 where the map holds nothing. A window
    in which it holds nothing at all is not looked at, which changes no other pixel.

    Args:
        segmenter: its settings have a window, and one look at the image in its own size.
        path: a GeoTIFF.
        files: where the files are staged.
        labels: the place of the label map.
        probabilities: that of the probabilities, K bands of uint8: 254 times the probability; 255 is nodata.
        progress: told the share of rows that are done, 0 to 1.

    Raises:
        ImageError: the map cannot be read, has bands that are not read, or holds nothing.
        ModelError: the settings do not fit, or the network's answer is no number everywhere.
        StorageError: the place cannot be written.
    """
    require_map_settings(segmenter)
    with Raster(path) as raster:
        source = MapSource(raster, segmenter.device, segmenter.band_rule)
        facts, classes, settings = source.facts, segmenter.classes, segmenter.settings
        if (settings.window or 0) > min(facts.width, facts.height):
            source.notes.append(
                f"{path} is {facts.width} x {facts.height} pixels, less than the window of {settings.window}, which"
                " ends at its borders."
            )
        counts = np.zeros(256, np.int64)

        def write(place: Path, probable: Path | None) -> None:
            names = {f"CLASS_{number}": name for number, name in enumerate(classes.names)}
            with contextlib.ExitStack() as open_files:
                label_writer = RasterWriter(
                    place, facts, 1, "uint8", IGNORE, colors=classes.palette, names=["class"], tags=names
                )
                writers = [open_files.enter_context(label_writer)]
                if probable is not None:
                    scale = 1 / PROBABILITY_STEPS
                    of_classes = RasterWriter(
                        probable, facts, len(classes), "uint8", IGNORE, names=classes.names, scale=scale
                    )
                    writers.append(open_files.enter_context(of_classes))
                pieces = _Pieces(source, settings, writers, counts, progress)
                segmenter.windows((facts.height, facts.width), source.rows, pieces.take, source.holds_any)

        if probabilities is None:
            files.write(labels, lambda place: write(place, None))
        else:
            files.write(probabilities, lambda probable: files.write(labels, lambda place: write(place, probable)))
    if counts[IGNORE] == facts.width * facts.height:
        raise ImageError(f"{path} holds nothing: every pixel is nodata ({facts.nodata}); give another map.")
    return MapResult(facts, counts[: len(classes)], int(counts[IGNORE]), source.notes)


def require_map_settings(segmenter: Segmenter) -> None:
    """Refuse settings with which no map can be predicted.

    Raises:
        ModelError: no window, several looks, or a border that declared bands do not have.
    """
    require_windows(segmenter.settings)
    if segmenter.settings.border == "pad" and segmenter.band_rule is not None:
        raise ModelError("A map of declared bands is not filled up with black; leave border='pad' out.")


class _Pieces:
    """From sums of logits to rows of labels, and of probabilities where there are two writers."""

    def __init__(
        self,
        source: MapSource,
        settings: InferenceSettings,
        writers: list[RasterWriter],
        counts: npt.NDArray[np.int64],
        progress: Callable[[float], object],
    ) -> None:
        self.source, self.writers, self.counts, self.progress = source, writers, counts, progress
        self.seen = [_times_seen(side, settings) for side in (source.facts.height, source.facts.width)]
        # In one piece: many small ones between the large ones of the network would tear the memory up.
        self.rows: list[npt.NDArray[np.uint8]] = []

    def take(self, rows: slice, columns: slice, sums: Tensor) -> None:
        """Keep a piece, and write the rows when they are whole."""
        facts, height = self.source.facts, rows.stop - rows.start
        if columns.start == 0:
            self.rows = [np.empty((writer.bands, height, facts.width), np.uint8) for writer in self.writers]
        empty = ~self.source.valid[:height, columns]
        # How many windows see a pixel is the same for all its classes.
        labels = sums.max(dim=1).indices.to(torch.uint8).cpu().numpy()
        labels[:, empty] = IGNORE
        self.counts += np.bincount(labels.reshape(-1), minlength=256)
        self.rows[0][:, :, columns] = labels
        if len(self.writers) > 1:
            seen = np.outer(self.seen[0][rows], self.seen[1][columns])
            mean = sums[0] / torch.from_numpy(seen).to(sums)
            steps = (torch.softmax(mean, dim=0) * PROBABILITY_STEPS).round().to(torch.uint8).cpu().numpy()
            steps[:, empty] = IGNORE
            self.rows[1][:, :, columns] = steps
        if columns.stop == facts.width:
            for writer, whole in zip(self.writers, self.rows, strict=True):
                writer.write_rows(whole)
            self.progress(rows.stop / facts.height)


def _times_seen(length: int, settings: InferenceSettings) -> npt.NDArray[np.float32]:
    """How many windows see each place along a side."""
    assert settings.window is not None
    seen = np.zeros(length, np.float32)
    for start in window_starts(length, settings.window, settings.step, settings.border):
        seen[start : start + settings.window] += 1
    return seen
