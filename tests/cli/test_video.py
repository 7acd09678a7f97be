import csv
import functools
import http.server
import json
import shlex
import threading
from pathlib import Path

import pytest
import torch

from scenescope.data.video import VideoReader
from scenescope.inference.segmenter import Segmenter
from tests.videos import moving_rectangle, write_video


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return the working directory, with film.mp4."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "film.mp4", moving_rectangle(), audio=True)
    return tmp_path


@pytest.fixture
def run(scenescope, model):
    return lambda *arguments: scenescope("video", *arguments, "--model", model, "--device", "cpu")


def shares(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_film(run, model, place):
    result = run("film.mp4", "--output", "out")
    assert result.exit_code == 0, result.errors
    files = ("out/film_overlay.mp4", "out/film_shares.csv", "out/film_summary.json")
    assert f"6 frames predicted; see {', '.join(files)}." in result.output
    assert "of the pixels whose color stayed within 8 of 255 changed their class" in result.output
    assert "note: The sound is left out." in result.errors
    segmenter = Segmenter.load(model, "cpu")
    with VideoReader(place / "film.mp4") as video:
        for row, frame in zip(shares(place / "out" / "film_shares.csv"), video.frames(), strict=True):
            expected = segmenter.predict(frame.image).shares()
            assert {name: float(row[name]) for name in expected} == pytest.approx(expected, abs=1e-6)


def test_options(run, place):
    result = run("film.mp4", "--output", "out", "--every", "2", "--smooth", "0.5", "--no-overlay")
    assert result.exit_code == 0, result.errors
    assert "% without smoothing)" in result.output
    assert [row["frame"] for row in shares(place / "out" / "film_shares.csv")] == ["0", "2", "4"]
    told = json.loads((place / "out" / "film_summary.json").read_text())
    assert (told["every"], told["smooth"]) == (2, 0.5)


def test_what_is_damaged_ends_with_1_and_keeps_what_was_done(run, place):
    film = place / "film.mp4"
    frames = list(torch.randint(0, 256, (30, 48, 64, 3), dtype=torch.uint8).numpy())
    content = write_video(film, frames, movflags="faststart").read_bytes()
    film.write_bytes(content[: len(content) // 2])
    result = run("film.mp4", "--output", "out")
    assert result.exit_code == 1
    assert "failed: film.mp4 is cut short or damaged" in result.errors
    assert 10 < len(shares(place / "out" / "film_shares.csv")) < 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4"], "Cannot open none.mp4: No such file or directory; check the path."),
        (["notes.txt"], "if it is a video, it is damaged"),
        (["film.mp4", "--smooth", "1"], "smooth=1.0 is not possible"),
        (["film.mp4", "--stream"], "no stream that can be opened"),
        (["rtsp://me:secret@camera/1"], "rtsp://camera/1 is not a file; add --stream to open it"),
        (["/dev/video0"], "/dev/video0 is not a file; add --stream"),
        (["film.mp4", "--max-pixels", "100"], "more than the limit of 100"),
        (["photo.jpg"], "images are for scenescope predict"),
    ],
)
def test_what_is_refused_leaves_nothing(run, place, arguments, message):
    (place / "notes.txt").write_text("hello\n" * 100)
    (place / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\x00" * 100)
    result = run(*arguments, "--output", "out")
    assert result.exit_code == 2
    assert result.errors.startswith("error: ")
    assert message in result.errors
    assert len(result.errors.splitlines()) == 1
    assert not (place / "out").exists()


def test_a_stream_is_opened_where_it_is_named_so(run, place):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(place))
    handler.log_message = lambda *_: None
    asked = []

    class Server(http.server.ThreadingHTTPServer):
        def process_request(self, request, address):
            asked.append(address)
            super().process_request(request, address)

    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://me:secret@127.0.0.1:{server.server_port}/film.mp4"
        assert run(address, "--output", "out").exit_code == 2
        assert not asked
        result = run(address, "--stream", "--output", "out")
        # A playlist from elsewhere opens what lies beside it, and no file of this machine.
        write_video(place / "film.ts", moving_rectangle())
        playlists = []
        for number, target in enumerate(("film.ts", f"file://{place}/film.ts", f"{place}/film.ts")):
            head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.24,\n"
            (place / f"{number}.m3u8").write_text(f"{head}{target}\n#EXT-X-ENDLIST\n")
            listed = address.replace("film.mp4", f"{number}.m3u8")
            playlists.append(run(listed, "--stream", "--output", f"out{number}").exit_code)
        server.shutdown()
    assert result.exit_code == 0, result.errors
    assert len(shares(place / "out" / "stream_shares.csv")) == 6
    assert all(b"secret" not in path.read_bytes() for path in (place / "out").iterdir())
    assert playlists == [0, 2, 2]


def test_the_commands_of_the_page_run(scenescope, model, place, monkeypatch):
    monkeypatch.setattr("scenescope.checkpoints.find.models_in_box", lambda: {"small": model})
    page = (Path(__file__).parents[2] / "docs" / "video.md").read_text()
    commands = [line for line in page.splitlines() if line.startswith("    scenescope ")]
    streams = [line for line in commands if "--stream" in line]
    assert (len(commands), len(streams)) == (4, 1)
    for command in commands:
        if command not in streams:
            result = scenescope(*shlex.split(command)[1:])
            assert result.exit_code == 0, f"{command}\n{result.errors}"
    assert (place / "out" / "film_summary.json").exists()
