import builtins
import struct
import sys
from fractions import Fraction

import numpy as np
import pytest

from scenescope.data.video import VideoReader, VideoWriter, _upright, is_address, shown_name
from scenescope.errors import ImageError
from tests.videos import moving_rectangle, read_video, write_video

NEAR = 12
"""What encoding in these tests costs, of 255."""


def noise(num_frames):
    """Return frames that take many bytes each, unlike the headers of files."""
    return list(np.random.default_rng(0).integers(0, 256, (num_frames, 48, 64, 3), np.uint8))


def read(path, every=1, **options):
    with VideoReader(path, **options) as video:
        return video, list(video.frames(every))


def distance(first, second):
    return np.abs(first.astype(int) - second).mean()


def test_frames_come_with_their_pixels_and_times(tmp_path):
    made = moving_rectangle()
    video, frames = read(write_video(tmp_path / "a.mp4", made))
    assert [frame.number for frame in frames] == list(range(6))
    assert [frame.seconds for frame in frames] == [Fraction(number, 25) for number in range(6)]
    assert all(distance(frame.image, pixels) < NEAR for frame, pixels in zip(frames, made, strict=True))
    assert (video.num_frames, video.fps, video.problem, video.notes) == (6, 25, None, [])


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.mov", "libx265", "yuv420p10le"),  # 10 bit, as telephones write them
        ("a.gif", "gif", "rgb8"),
    ],
)
def test_kinds_of_files(tmp_path, name, codec, pix_fmt):
    made = moving_rectangle()
    video, frames = read(write_video(tmp_path / name, made, codec=codec, pix_fmt=pix_fmt))
    assert len(frames) == 6
    assert frames[0].seconds == 0  # also where the clock does not begin with 0
    assert float(frames[5].seconds) == pytest.approx(0.2, abs=1e-3)
    assert all(distance(frame.image, pixels) < 3 * NEAR for frame, pixels in zip(frames, made, strict=True))
    assert video.problem is None


def test_every_third_frame_keeps_number_and_time(tmp_path):
    made = moving_rectangle(8)
    _, frames = read(write_video(tmp_path / "a.mp4", made), every=3)
    assert [(frame.number, frame.seconds) for frame in frames] == [(n, Fraction(n, 25)) for n in (0, 3, 6)]
    assert all(distance(frame.image, made[frame.number]) < NEAR for frame in frames)


def test_a_variable_rate_keeps_its_times(tmp_path):
    times = [Fraction(n, 1000) for n in (0, 10, 500, 501, 900, 4000)]
    video, frames = read(write_video(tmp_path / "a.mp4", moving_rectangle(), times=times))
    assert [frame.seconds for frame in frames] == times
    assert video.problem is None


def test_a_clock_that_stands_still_goes_on(tmp_path):
    """Sitespeedio/browsertime#1108: players and writers take only times that increase."""
    times = [Fraction(n, 1000) for n in (0, 40, 41, 120, 160, 200)]
    path = write_video(tmp_path / "a.mkv", moving_rectangle(), codec="mjpeg", pix_fmt="yuvj420p", times=times)
    block = b"\x81\x00%c\x80"  # of the first track, its time in ms, a key frame
    content = path.read_bytes()
    assert content.count(block % 41) == 1
    path.write_bytes(content.replace(block % 41, block % 40))
    video, frames = read(path)
    assert [float(frame.seconds) for frame in frames] == [0, 0.04, 0.041, 0.12, 0.16, 0.2]
    assert video.notes == ["1 times are not after the one before; they are set to follow it."]


def test_recordings_one_after_another_go_on_in_time_and_size(tmp_path):
    first = write_video(tmp_path / "a.ts", moving_rectangle(6)).read_bytes()
    second = write_video(tmp_path / "b.ts", moving_rectangle(6, 24, 32)).read_bytes()
    (tmp_path / "c.ts").write_bytes(first + second)
    video, frames = read(tmp_path / "c.ts")
    assert len(frames) == 12
    assert np.allclose(np.diff([float(frame.seconds) for frame in frames]), 0.04, atol=1e-3)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert any("The size of the frames changes" in note for note in video.notes)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_turned_video_is_read_upright(tmp_path, degrees):
    made = moving_rectangle()
    _, frames = read(write_video(tmp_path / "a.mp4", made, turned=degrees))
    for frame, pixels in zip(frames, made, strict=True):
        # Both count degrees against the clock.
        assert distance(frame.image, np.rot90(pixels, degrees // 90)) < NEAR
    assert frames[0].image.flags.c_contiguous


def test_a_display_matrix_moves_pixels_as_it_says():
    """By a loop over pixels: (x, y) comes to (a x + c y, b x + d y), moved so that no coordinate is below 0."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for a, b, c, d in [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0)]:
        moved = {(a * x + c * y, b * x + d * y): pixels[y, x] for y in range(2) for x in range(3)}
        left, top = (min(place[axis] for place in moved) for axis in (0, 1))
        expected = np.zeros((3, 2, 3) if b else (2, 3, 3), np.uint8)
        for (x, y), value in moved.items():
            expected[y - top, x - left] = value
        matrix = struct.pack("=9i", *(value * 65536 for value in (a, b, 0, c, d, 0)), 0, 0, 1 << 30)
        assert np.array_equal(_upright(pixels, matrix), expected)


def test_what_pixels_are_not_square_is_passed_on(tmp_path):
    ratio = Fraction(16, 11)
    video, _ = read(write_video(tmp_path / "a.mp4", moving_rectangle(), pixel_ratio=ratio))
    assert video.pixel_ratio == ratio
    video, _ = read(write_video(tmp_path / "b.mp4", moving_rectangle(), pixel_ratio=ratio, turned=90))
    assert video.pixel_ratio == 1 / ratio


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_file_cut_short_gives_what_is_there_and_says_so(tmp_path, name):
    made = noise(40)
    codec, options = ("mpeg4", {}) if name == "a.avi" else ("libx264", {"movflags": "faststart"})
    path = write_video(tmp_path / name, made, codec=codec, pix_fmt="yuv420p", **options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    video, frames = read(path)
    assert 15 < len(frames) < 30
    assert distance(frames[10].image, made[10]) < distance(frames[10].image, made[11])
    assert "cut short or damaged" in video.problem


def test_a_hole_in_the_middle_costs_its_frames_alone(tmp_path):
    path = write_video(tmp_path / "a.mp4", noise(40), movflags="faststart")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 9000] = bytes(byte ^ 0x5A for byte in content[middle : middle + 9000])
    path.write_bytes(content)
    video, frames = read(path)
    assert len(frames) > 30
    assert frames[-1].number == len(frames) - 1
    assert "could not be decoded" in video.problem


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "Cannot open .*damaged or cut short"),
        (lambda path: path.write_bytes(b"\x00" * 3000), "Cannot open .*damaged or cut short"),
        (lambda path: None, "Cannot open .*: No such file or directory; check the path"),
        (lambda path: path.mkdir(), "Cannot open .*: Is a directory; check"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, make, message):
    make(tmp_path / "a.mp4")
    with pytest.raises(ImageError, match=message) as refused:
        VideoReader(tmp_path / "a.mp4")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "hello\n" * 100),  # a video to ffmpeg
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n"),
        ("a.mp4", "ffconcat version 1.0\nfile other.ts\n"),
    ],
)
def test_no_file_opens_another_and_no_text_is_a_video(tmp_path, name, text):
    write_video(tmp_path / "other.ts", moving_rectangle())
    (tmp_path / name).write_text(text)
    with pytest.raises(ImageError, match=r"Cannot open .*not a kind of video"):
        VideoReader(tmp_path / name)


def test_sound_alone_is_refused_and_beside_images_left_out(tmp_path):
    import av

    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        sound = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 44100
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    with pytest.raises(ImageError, match="holds no video"):
        VideoReader(tmp_path / "a.m4a")
    video, frames = read(write_video(tmp_path / "b.mp4", moving_rectangle(), audio=True))
    assert (len(frames), video.notes) == (6, ["The sound is left out."])


def test_an_unknown_codec_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_rectangle())
    path.write_bytes(path.read_bytes().replace(b"avc1\x00", b"none\x00").replace(b"avcC", b"none"))
    with pytest.raises(ImageError, match="coded in a way that is not read"):
        VideoReader(path)


def test_too_large_frames_are_refused_before_one_is_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_rectangle())
    with pytest.raises(ImageError, match="64 x 48 pixels are more than the limit of 3,071"):
        VideoReader(path, max_pixels=64 * 48 - 1)
    assert len(read(path, max_pixels=64 * 48)[1]) == 6


def test_an_address_is_opened_only_as_a_stream():
    assert is_address("rtsp://camera/1")
    assert is_address("/dev/video0")
    assert not is_address("C:\\film.mp4")
    assert shown_name("rtsp://me:secret@camera/1") == "rtsp://camera/1"
    with pytest.raises(ImageError, match="Cannot open"):
        VideoReader("http://127.0.0.1:9/a.mp4")  # looked for as a file
    for source in ("film.mp4", "file:///etc/passwd", "concat:a.mp4", "ftp://host/a.mp4", "subfile://a"):
        with pytest.raises(ImageError, match="no stream that can be opened"):
            VideoReader(source, stream=True)


def test_a_name_that_is_no_unicode_or_looks_like_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = write_video(tmp_path / "a.mp4", moving_rectangle()).read_bytes()
    for name in ("odd\udcff.mp4", "concat:a.mp4", "100%d.mp4", "-a.mp4"):
        (tmp_path / name).write_bytes(content)
        assert len(read(name)[1]) == 6


def test_without_pyav_it_is_said_what_to_install(monkeypatch, tmp_path):
    imported = builtins.__import__

    def without(name, *arguments):
        if name == "av":
            raise ImportError
        return imported(name, *arguments)

    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r"pip install 'scenescope\[video\]'"):
        VideoReader(tmp_path / "a.mp4")


def written(path, frames, times, time_base=Fraction(1, 1000)):
    writer = VideoWriter(path, time_base, Fraction(25))
    for frame, seconds in zip(frames, times, strict=True):
        writer.write(frame, seconds)
    writer.close()
    return read_video(path)


def test_what_is_written_is_read_with_its_colors_and_times(tmp_path):
    made = [np.full((48, 64, 3), color, np.uint8) for color in ((200, 30, 60), (30, 180, 90), (20, 40, 220))]
    times = [Fraction(0), Fraction(7, 1000), Fraction(3)]
    found = written(tmp_path / "a.mp4", made, times)
    assert [seconds for seconds, _ in found] == pytest.approx([0, 0.007, 3])
    assert all(distance(pixels, frame) < 4 for (_, pixels), frame in zip(found, made, strict=True))


def test_odd_sides_are_filled_up(tmp_path):
    made = moving_rectangle(2, 31, 41)
    found = written(tmp_path / "a.mp4", made, [Fraction(0), Fraction(1)])
    assert found[0][1].shape == (32, 42, 3)
    assert distance(found[0][1][:31, :41], made[0]) < 2 * NEAR


def test_without_h264_another_codec_writes(tmp_path, monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    made = moving_rectangle(3)
    times = [Fraction(0), Fraction(1, 30), Fraction(1)]
    found = written(tmp_path / "a.mp4", made, times, Fraction(1, 90_000))
    assert [seconds for seconds, _ in found] == pytest.approx([0, 1 / 30, 1], abs=1e-4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
