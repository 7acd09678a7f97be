import csv
import itertools
import json
import os
import signal
from fractions import Fraction

import numpy as np
import pytest
import torch

from scenescope.data.video import VideoReader
from scenescope.errors import ImageError, ScenescopeError, StorageError
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.jobs.video import predict_video
from scenescope.labels import Classes
from tests.videos import moving_rectangle, read_video, write_video

CLASSES = Classes.named(["red", "=green", "blue"], [(200, 0, 0), (0, 200, 0), (0, 0, 200)])


@pytest.fixture
def strongest(answering):
    """The class of a pixel is its strongest color."""
    return Segmenter(answering(lambda images: images / 60), CLASSES)


@pytest.fixture
def film(tmp_path):
    return write_video(tmp_path / "film.mp4", moving_rectangle())


def run(segmenter, path, output, **options):
    with VideoReader(path) as video:
        return predict_video(segmenter, video, output, **options)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def frames_of(path):
    with VideoReader(path) as video:
        return list(video.frames())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_shares_are_those_of_the_frames_predicted_singly(strongest, film, tmp_path):
    result = run(strongest, film, tmp_path / "out")
    assert (result.num_frames, result.problem) == (6, None)
    found = rows(tmp_path / "out" / "film_shares.csv")
    for row, frame in zip(found, frames_of(film), strict=True):
        expected = strongest.predict(frame.image).shares()
        assert (int(row["frame"]), float(row["time"])) == (frame.number, float(frame.seconds))
        # No cell is a formula.
        assert [float(row[name]) for name in ("red", "'=green", "blue")] == pytest.approx(
            list(expected.values()), abs=1e-6
        )
    assert names_in(tmp_path / "out") == [".video", "film_overlay.mp4", "film_shares.csv", "film_summary.json"]
    told = json.loads((tmp_path / "out" / "film_summary.json").read_text())
    assert told["frames"] == 6
    assert told["shares"]["blue"] == pytest.approx(np.mean([float(row["blue"]) for row in found]), abs=1e-6)
    assert told["problem"] is None


def test_the_overlay_shows_the_classes_over_each_frame_at_its_time(strongest, film, tmp_path):
    run(strongest, film, tmp_path / "out", legend=False)
    shown = read_video(tmp_path / "out" / "film_overlay.mp4")
    assert [seconds for seconds, _ in shown] == pytest.approx([number / 25 for number in range(6)])
    for (_, pixels), frame in zip(shown, frames_of(film), strict=True):
        colors = np.array(CLASSES.palette)[strongest.predict(frame.image).labels]
        assert pixels.shape == frame.image.shape
        assert np.abs(pixels - (frame.image / 2 + colors / 2)).mean() < 8


def test_a_legend_lies_below_and_stays(strongest, film, tmp_path):
    run(strongest, film, tmp_path / "out")
    shown = [pixels for _, pixels in read_video(tmp_path / "out" / "film_overlay.mp4")]
    assert shown[0].shape[0] > 48
    assert shown[0].shape[0] % 2 == shown[0].shape[1] % 2 == 0
    assert np.abs(shown[0][48:].astype(int) - shown[5][48:]).mean() < 3


def flickering(answering, answers):
    """Return a segmenter that says of every pixel of frame t the t-th logits, whatever it sees."""
    remaining = iter(answers)

    def answer(images):
        return torch.tensor(next(remaining), dtype=torch.float32).reshape(1, 3, 1, 1).expand(1, 3, *images.shape[2:])

    return Segmenter(answering(answer), CLASSES)


LOGITS = [(2.0, 0.0, 0.0), (0.0, 1.5, 0.0), (2.0, 0.0, 0.0), (0.0, 0.0, 3.0), (0.0, 0.0, 3.0), (1.0, 1.2, 0.0)]


@pytest.mark.parametrize("smooth", [0.3, 0.5, 0.9])
def test_smoothing_is_that_of_a_loop(answering, tmp_path, smooth):
    still = write_video(tmp_path / "still.mp4", [moving_rectangle()[0]] * 6)
    result = run(flickering(answering, LOGITS), still, tmp_path / "out", smooth=smooth)
    expected, past = [], None
    for logits in LOGITS:
        now = [np.exp(value) / sum(np.exp(other) for other in logits) for value in logits]
        past = now if past is None else [smooth * p + (1 - smooth) * q for p, q in zip(past, now, strict=True)]
        expected.append(int(np.argmax(past)))
    found = rows(tmp_path / "out" / "still_shares.csv")
    assert [int(np.argmax([float(row[name]) for name in ("red", "'=green", "blue")])) for row in found] == expected
    pixels = 48 * 64
    assert result.flicker.changed == pixels * sum(a != b for a, b in itertools.pairwise(expected))
    assert result.unsmoothed.changed == pixels * 4
    assert result.unsmoothed.still == pixels * 5


def test_smoothing_takes_probabilities_that_views_were_joined_to(answering, tmp_path):
    still = write_video(tmp_path / "still.mp4", [moving_rectangle()[0]] * 3)
    plain = Segmenter(answering(lambda images: images / 60), CLASSES)
    joined = Segmenter(answering(lambda images: images / 60), CLASSES, settings=InferenceSettings(flip=True))
    for name, segmenter in (("plain", plain), ("joined", joined)):
        run(segmenter, still, tmp_path / name, smooth=0.5)
    assert rows(tmp_path / "plain" / "still_shares.csv") == rows(tmp_path / "joined" / "still_shares.csv")


def test_planted_flicker_is_counted_and_what_moves_is_not(answering, tmp_path):
    """A still image whose upper half changes its class once in six frames, beside a column that moves."""
    frames = [np.full((40, 40, 3), 90, np.uint8) for _ in range(6)]
    for number, frame in enumerate(frames):
        frame[:, 36:] = 200 if number % 2 else 20
    count = iter(range(6))

    def answer(images):
        scores = torch.zeros(1, 3, 40, 40)
        scores[:, 1] = 1
        if next(count) == 3:
            scores[:, 2, :20] = 2
        scores[:, :, :, 36:] = torch.randn(3, 1, 1)
        return scores

    film = write_video(tmp_path / "film.mp4", frames)
    result = run(Segmenter(answering(answer), CLASSES), film, tmp_path / "out")
    assert result.flicker.changed == 2 * 20 * 36  # there and back
    assert result.flicker.still == 5 * 40 * 36
    assert [row["flicker"] for row in rows(tmp_path / "out" / "film_shares.csv")] == [
        "", "0.000000", "0.000000", "0.500000", "0.500000", "0.000000",
    ]  # fmt: skip


def test_every_second_frame_and_a_turned_odd_sized_video(strongest, tmp_path):
    made = moving_rectangle(5, 47, 63)
    film = write_video(tmp_path / "film.mov", made, turned=90)
    result = run(strongest, film, tmp_path / "out", every=2, legend=False)
    found = rows(tmp_path / "out" / "film_shares.csv")
    assert [row["frame"] for row in found] == ["0", "2", "4"]
    assert float(found[1]["blue"]) == pytest.approx(np.mean(made[2][..., 2] > 100), abs=0.02)
    shown = read_video(tmp_path / "out" / "film_overlay.mp4")
    assert [seconds for seconds, _ in shown] == pytest.approx([0, 0.08, 0.16])
    assert shown[0][1].shape == (64, 48, 3)
    assert result.notes == ["A side of 63 pixels is odd; the overlay repeats its last row or column."]


def test_a_variable_rate_keeps_its_times(strongest, tmp_path):
    times = [Fraction(n, 1000) for n in (0, 10, 500, 501, 900, 4000)]
    film = write_video(tmp_path / "film.mp4", moving_rectangle(), times=times)
    run(strongest, film, tmp_path / "out")
    assert [seconds for seconds, _ in read_video(tmp_path / "out" / "film_overlay.mp4")] == pytest.approx(
        [float(seconds) for seconds in times]
    )
    assert [float(row["time"]) for row in rows(tmp_path / "out" / "film_shares.csv")] == [float(t) for t in times]


def test_a_file_cut_short_leaves_what_was_done(strongest, tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8))
    film = write_video(tmp_path / "film.mp4", noise, movflags="faststart")
    content = film.read_bytes()
    film.write_bytes(content[: len(content) * 6 // 10])
    result = run(strongest, film, tmp_path / "out")
    assert "cut short" in result.problem
    assert 15 < result.num_frames < 30
    assert len(read_video(tmp_path / "out" / "film_overlay.mp4")) == result.num_frames
    assert len(rows(tmp_path / "out" / "film_shares.csv")) == result.num_frames
    assert json.loads((tmp_path / "out" / "film_summary.json").read_text())["problem"] == result.problem


@pytest.mark.parametrize("number", [signal.SIGINT, None])
def test_what_ends_it_leaves_what_was_done(answering, film, tmp_path, number, request):
    """Ctrl-C, and a network that at the fourth frame answers what is no number."""
    count = iter(range(6))

    def answer(images):
        if next(count) == 3:
            if number is None:
                return images * torch.nan
            os.kill(os.getpid(), number)
        return images

    segmenter = Segmenter(answering(answer), CLASSES)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background has it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    if number is None:
        assert "ended after 3 frames: The network's answer" in run(segmenter, film, tmp_path / "out").problem
    else:
        with pytest.raises(KeyboardInterrupt):
            run(segmenter, film, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "film_summary.json").read_text())
    assert told["frames"] == len(read_video(tmp_path / "out" / "film_overlay.mp4")) == 3
    assert "after 3 frames" in told["problem"]
    assert names_in(tmp_path / "out") == [".video", "film_overlay.mp4", "film_shares.csv", "film_summary.json"]


def test_before_the_first_frame_nothing_is_left(answering, film, tmp_path):
    nothing = Segmenter(answering(lambda images: images * torch.nan), CLASSES)
    with pytest.raises(ScenescopeError, match="not a number"):
        run(nothing, film, tmp_path / "out")
    assert names_in(tmp_path / "out") == []


def test_a_video_without_frames_is_refused(strongest, tmp_path):
    film = write_video(tmp_path / "film.mp4", moving_rectangle(), movflags="faststart")
    content = film.read_bytes()
    film.write_bytes(content[: content.index(b"mdat") + 4])
    with pytest.raises(ImageError, match=r"film.mp4 (is cut short or damaged: 0 frames|holds no frame)"):
        run(strongest, film, tmp_path / "out")
    assert names_in(tmp_path / "out") == []


def test_a_disk_that_is_full_leaves_nothing_half_written(strongest, film, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scenescope.jobs.video.VideoWriter.write", full)
    with pytest.raises(StorageError, match="No space left"):
        run(strongest, film, tmp_path / "out")
    assert names_in(tmp_path / "out") == []


def test_what_is_anothers_is_not_replaced(strongest, film, tmp_path):
    run(strongest, film, tmp_path / "out")
    run(strongest, film, tmp_path / "out", overlay=False)  # its own is, and the overlay of other labels goes
    assert names_in(tmp_path / "out") == [".video", "film_shares.csv", "film_summary.json"]
    (tmp_path / "out" / "film_shares.csv").write_text("mine")
    with pytest.raises(StorageError, match=r"film_shares.csv is in the way"):
        run(strongest, film, tmp_path / "out")
    other = film.with_suffix(".mov")
    other.write_bytes(film.read_bytes())
    with pytest.raises(StorageError, match=r"film_summary.json is in the way|film_shares.csv is in the way"):
        run(strongest, other, tmp_path / "out")
    again = tmp_path / "film_overlay.mp4"
    film.rename(again)
    (tmp_path / "film_overlay_overlay.mp4").symlink_to(again)
    with pytest.raises(StorageError, match="would replace the input"):
        run(strongest, again, tmp_path)


@pytest.mark.parametrize(("options", "message"), [({"smooth": 1.0}, "smooth=1.0"), ({"every": 0}, "every=0")])
def test_what_is_not_possible_is_refused(strongest, film, tmp_path, options, message):
    with pytest.raises(ScenescopeError, match=message):
        run(strongest, film, tmp_path / "out", **options)
