"""Predictions for a video, frame by frame: an overlay video, the class shares of every frame, and how much it flickers.

While one frame is segmented, the next is decoded and the last is drawn and encoded, each in a thread.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scenescope.data.loading import read_ahead
from scenescope.data.video import Frame, VideoReader, VideoWriter, is_address
from scenescope.drawing.overlay import blend, with_legend
from scenescope.errors import ImageError, ScenescopeError, StorageError
from scenescope.files import (
    StagedFiles,
    csv_cell,
    held_directory,
    make_directory,
    remove_partial,
    sha256,
    staged_files,
)
from scenescope.inference.guards import memory_errors
from scenescope.inference.prediction import Prediction
from scenescope.inference.segmenter import Segmenter
from scenescope.jobs.flicker import STILL, Flicker, still_pixels
from scenescope.jobs.inputs import fitting_name
from scenescope.own_files import OwnFiles

OVERLAY, SHARES, SUMMARY = "_overlay.mp4", "_shares.csv", "_summary.json"
"""What is written about a video: its name with these."""


@dataclass
class VideoResult:
    """What became of a video.

    Attributes:
        files: that were written.
        num_frames: that were predicted.
        flicker: of the labels that are shown.
        unsmoothed: flicker of the labels of each frame alone.
        problem: why it ended early or is not whole; None if it is.
        notes: what is to be said.
    """

    files: list[Path] = field(default_factory=list)
    num_frames: int = 0
    flicker: Flicker = field(default_factory=Flicker)
    unsmoothed: Flicker = field(default_factory=Flicker)
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


def predict_video(
    segmenter: Segmenter,
    video: VideoReader,
    output: Path,
    *,
    every: int = 1,
    smooth: float = 0.0,
    overlay: bool = True,
    legend: bool = True,
    progress: Callable[[int], object] = lambda done: None,
) -> VideoResult:
    """Write what a model sees in a video: NAME_overlay.mp4, NAME_shares.csv and NAME_summary.json.

    What is done is kept, whole and playable, when the video turns out to be damaged or Ctrl-C ends the work.

    Args:
        every: predict one of so many frames, beginning with the first.
        smooth: S of p(t) = S p(t - 1) + (1 - S) q(t), 0 <= S < 1, where q(t) are the probabilities of predicted frame t
            alone, p(0) = q(0), and the label of a pixel is the class of its largest p(t).
        legend: put the classes with their colors under the overlay.
        progress: called with the number of frames that are done.

    Raises:
        ScenescopeError: smooth or every out of range.
        ImageError: no frame could be decoded or predicted.
        StorageError: the output cannot be written, is in use, or holds what was not written about this video.
    """
    check_options(every, smooth)
    make_directory(output)
    with held_directory(output):
        remove_partial(output)
        return _Work(segmenter, video, output, every, smooth, overlay, legend, progress).predict()


def check_options(every: int, smooth: float) -> None:
    """Refuse what ``predict_video`` cannot do.

    Raises:
        ScenescopeError: smooth or every out of range.
    """
    if not 0 <= smooth < 1:
        raise ScenescopeError(
            f"smooth={smooth} is not possible; give a weight of the past from 0 to below 1, such as 0.5."
        )
    if every < 1:
        raise ScenescopeError(f"every={every} is not possible; give 1 for all frames or more.")


def places(source: str, output: Path, overlay: bool = True) -> dict[str, Path]:
    """Return the files that are written about a video, by their endings.

    Raises:
        StorageError: another's file is in the way, or the video itself.
    """
    name = "stream" if is_address(source) else fitting_name(Path(source).stem)
    found = {
        ending: output / f"{name}{ending}" for ending in (OVERLAY, SHARES, SUMMARY) if overlay or ending != OVERLAY
    }
    own = OwnFiles(output, "video")
    for path in found.values():
        own.require_free(path, _subject(source), () if is_address(source) else (Path(source),))
    return found


def _subject(source: str) -> str:
    return source if is_address(source) else os.path.abspath(source)


@dataclass
class _Work:
    """A video at work. Prediction, and what is kept of the frame before, belong to one thread; writing to another."""

    segmenter: Segmenter
    video: VideoReader
    output: Path
    every: int
    smooth: float
    overlay: bool
    legend: bool
    progress: Callable[[int], object]
    result: VideoResult = field(default_factory=VideoResult)
    ended: BaseException | None = None
    size: tuple[int, int] = (0, 0)
    seconds: Fraction = Fraction(0)
    shares: npt.NDArray[np.float64] | None = None
    probabilities: torch.Tensor | None = None
    before: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None
    page: npt.NDArray[np.uint8] | None = None

    def predict(self) -> VideoResult:
        found = places(self.video.name, self.output, self.overlay)
        name = found[SHARES].name.removesuffix(SHARES)
        with staged_files() as files:
            files.write(found[SHARES], lambda place: self._write_shares(place, files, found.get(OVERLAY)))
            files.write(found[SUMMARY], lambda place: place.write_text(self._summary(), encoding="utf-8"))
            own = OwnFiles(self.output, "video")
            own.append(
                {
                    "name": name,
                    "subject": _subject(self.video.name),
                    "files": {ending: sha256(files.temporaries[path]) for ending, path in found.items()},
                }
            )
        self.result.files = list(found.values())
        older = self.output / f"{name}{OVERLAY}"
        if not self.overlay and _subject(self.video.name) in own.subjects(older):
            older.unlink()  # of other labels
        if self.ended is not None:
            raise self.ended
        return self.result

    def _write_shares(self, place: Path, files: StagedFiles, overlay: Path | None) -> None:
        with place.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            rows = csv.writer(file)
            rows.writerow(["frame", "time", "flicker", *map(csv_cell, self.segmenter.classes.names)])
            if overlay is None:
                self._run(rows, None)
            else:
                files.write(overlay, lambda there: self._write_overlay(there, rows))

    def _write_overlay(self, place: Path, rows: Any) -> None:
        fps = max(Fraction(1, 1000), (self.video.fps / self.every).limit_denominator(100_000))
        with closing(VideoWriter(place, self.video.time_base, fps)) as writer:
            self._run(rows, writer)

    def _run(self, rows: Any, overlay: VideoWriter | None) -> None:
        """Predict all frames; what ends it early is kept in mind, once there is a frame to keep."""
        try:
            self._predict_frames(rows, overlay)
            self.result.problem = self.video.problem
        except BaseException as error:  # Ctrl-C and SIGTERM as well
            fault = isinstance(error, Exception) and not isinstance(error, ScenescopeError)
            if fault or isinstance(error, StorageError) or not self.result.num_frames:
                raise
            done = f"after {self.result.num_frames} frames"
            if isinstance(error, ScenescopeError):
                self.result.problem = f"{self.video.name}: ended {done}: {error}"
            else:
                self.result.problem, self.ended = f"{self.video.name}: interrupted {done}.", error
        if not self.result.num_frames:
            raise ImageError(self.video.problem or f"{self.video.name} holds no frame that can be decoded.")
        self.result.notes += self.video.notes

    def _predict_frames(self, rows: Any, overlay: VideoWriter | None) -> None:
        frames = self.video.frames(self.every)
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as drawer:
            written: Future[None] | None = None
            try:
                for _, read in read_ahead(reader, lambda _: next(frames, None), itertools.count()):
                    frame = read.result()
                    if frame is None:
                        break
                    with memory_errors(ImageError, f"Frame {frame.number}", "look at it through --window 768"):
                        labels, alone = self._labels(frame)
                        flicker = self._count(frame, labels, alone)
                    if written is not None:
                        written.result()
                    written = drawer.submit(self._write, frame, labels, flicker, rows, overlay)
            finally:
                if written is not None:
                    written.result()

    def _labels(self, frame: Frame) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the labels that are shown, and those of the frame alone."""
        batch = torch.from_numpy(frame.image.transpose(2, 0, 1)[None].copy()).to(self.segmenter.device)
        if not self.smooth:
            only = self.segmenter.labels(batch)[0].cpu().numpy()
            return only, only
        scores = self.segmenter.logits(batch)[0]
        probabilities = scores if self.segmenter.settings.averages else torch.softmax(scores, dim=0)
        alone = probabilities.max(dim=0).indices
        if self.probabilities is None:
            self.probabilities = probabilities
        else:
            self.probabilities = torch.lerp(self.probabilities, probabilities, 1 - self.smooth)
        labels = self.probabilities.max(dim=0).indices
        return labels.to(torch.uint8).cpu().numpy(), alone.to(torch.uint8).cpu().numpy()

    def _count(self, frame: Frame, labels: npt.NDArray[np.uint8], alone: npt.NDArray[np.uint8]) -> float | None:
        """Count the flicker since the frame before; None for the first."""
        flicker = None
        if self.before is not None:
            image, labels_before, alone_before = self.before
            still = still_pixels(image, frame.image)
            flicker = self.result.flicker.add(still, labels_before, labels)
            self.result.unsmoothed.add(still, alone_before, alone)
        self.before = frame.image, labels, alone
        return flicker

    def _write(
        self,
        frame: Frame,
        labels: npt.NDArray[np.uint8],
        flicker: float | None,
        rows: Any,
        overlay: VideoWriter | None,
    ) -> None:
        shares = list(Prediction(labels, frame.image, self.segmenter.classes).shares().values())
        if overlay is not None:
            overlay.write(self._drawn(frame.image, labels), frame.seconds, self.video.pixel_ratio)
        changes = "" if flicker is None else f"{flicker:.6f}"
        rows.writerow([frame.number, f"{float(frame.seconds):.6f}", changes, *(f"{share:.6f}" for share in shares)])
        self.shares = np.array(shares) + (0 if self.shares is None else self.shares)
        self.size, self.seconds = labels.shape, frame.seconds
        self.result.num_frames += 1
        self.progress(self.result.num_frames)

    def _drawn(self, image: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the overlay, with a legend below that is the same for all frames."""
        classes = self.segmenter.classes
        if self.page is None:
            self.page = np.asarray(with_legend(image, classes.names, classes.palette)) if self.legend else image
            odd = [own for own, side in zip(labels.shape, self.page.shape, strict=False) if own == side and side % 2]
            if odd:
                self.result.notes.append(
                    f"A side of {odd[0]} pixels is odd; the overlay repeats its last row or column."
                )
        drawn = self.page.copy()
        drawn[: labels.shape[0], : labels.shape[1]] = blend(image, labels, classes.palette)
        return drawn

    def _summary(self) -> str:
        assert self.shares is not None  # there is a frame
        result = self.result
        told = {
            "video": self.video.name,
            "frames": result.num_frames,
            "every": self.every,
            "smooth": self.smooth,
            "width": self.size[1],
            "height": self.size[0],
            "seconds": round(float(self.seconds), 6),
            "shares": dict(zip(self.segmenter.classes.names, (self.shares / result.num_frames).tolist(), strict=True)),
            "flicker": result.flicker.share,
            "flicker_unsmoothed": result.unsmoothed.share,
            "still_threshold": STILL,
            "still_pixels": result.flicker.still,
            "changed_pixels": result.flicker.changed,
            "model": self.segmenter.digest,
            "problem": result.problem,
            "notes": result.notes,
        }
        return json.dumps(told, indent=2) + "\n"
