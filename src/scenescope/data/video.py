"""Videos: frames in, upright and each with its time, and frames out. The only user of PyAV."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, cast

import numpy as np

from scenescope.data.images import MAX_PIXELS
from scenescope.errors import ImageError, first_line

if TYPE_CHECKING:
    import av
    from av.buffer import Buffer
    from av.container import InputContainer

    Image = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpegtsraw,mpeg,mpegvideo,m4v,asf,flv,ogg,gif,apng,mxf,dv,nut,rm,wtv"
    ",h264,hevc,vvc,ivf,obu,av1,mjpeg,yuv4mpegpipe"
)
"""Kinds of files that are read. Others, such as playlists, name further files, or see an image in any text."""

_PROTOCOLS = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp")
_BENEATH = ("tls", "crypto", "httpproxy")
"""What the protocols of streams are carried by. Without ``file``: what comes from elsewhere opens nothing here."""

_PATIENCE = 10.0
"""Seconds that a stream may be silent."""

_HDR = {16: "PQ", 18: "HLG"}
"""Transfer functions that 8 bits show flat, by their numbers in ITU-T H.273."""


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: from 0, counting all frames of the video.
        seconds: since the first frame, as the file says.
        image: H x W x 3 uint8 RGB, upright.
    """

    number: int
    seconds: Fraction
    image: Image


class VideoReader:
    """A video that is open: a file, or with ``stream`` an address or a camera.

    Args:
        source: path of a file; with ``stream`` rtsp://, http:// and such, or /dev/videoN of Linux.
        max_pixels: larger frames are refused before they are decoded.

    Attributes:
        name: of the source, without user and password.
        num_frames: as the file says; None where it does not.
        time_base: seconds of one tick of its clock.
        fps: frames per second, on average.
        pixel_ratio: width of a pixel by its height, upright; known when the first frame has been read.
        notes: what is to be said about the video; more may come while it is read.
        problem: what was wrong with it, once it has been read.

    Raises:
        ImageError: it cannot be opened, holds no video, or too large frames; or PyAV is not installed.
    """

    def __init__(self, source: str | Path, *, stream: bool = False, max_pixels: int = MAX_PIXELS) -> None:
        self._av = _pyav()
        self.name = shown_name(str(source))
        self.notes: list[str] = []
        self.problem: str | None = None
        try:
            self._container: InputContainer = _opened(self._av, str(source), stream)
        except self._av.FFmpegError as error:
            unknown = isinstance(error, self._av.ArgumentError)
            raise ImageError(
                f"Cannot open {self.name} ({'not a kind of video that is read' if unknown else _reason(error)}); if it"
                " is a video, it is damaged or cut short: copy or export it again; images are for scenescope predict."
            ) from error
        try:
            self._choose_stream(max_pixels)
        except BaseException:
            self._container.close()
            raise

    def _choose_stream(self, max_pixels: int) -> None:
        streams = self._container.streams
        covers = self._av.stream.Disposition.attached_pic
        video = [each for each in streams.video if not each.disposition & covers]
        if not video:
            raise ImageError(f"{self.name} holds no video; give a file that does.")
        best = streams.best("video")
        self._stream = next((each for each in video if each is best), video[0])
        if len(video) > 1:
            self.notes.append(f"{self.name} holds {len(video)} videos; number {self._stream.index} is read.")
        if streams.audio:
            self.notes.append("The sound is left out.")
        codec: av.VideoCodecContext | None = self._stream.codec_context
        if codec is None:
            raise ImageError(f"{self.name} is coded in a way that is not read; export it as H.264.")
        if codec.width * codec.height > max_pixels:
            raise ImageError(
                f"Cannot read {self.name}: {codec.width} x {codec.height} pixels are more than the limit of"
                f" {max_pixels:,}; scale the video down or raise the limit (--max-pixels, in Python max_pixels)."
            )
        codec.options = {"max_pixels": str(max_pixels)}
        if codec.color_trc in _HDR:
            self.notes.append(f"The colors are HDR ({_HDR[codec.color_trc]}) and are shown flat; models expect SDR.")
        self.time_base = self._stream.time_base or Fraction(1, 90_000)
        self.fps = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.pixel_ratio = Fraction(1)
        self._num_decoded = self._num_damaged = 0
        self.num_frames = self._stream.frames or None
        if self.num_frames is None and (duration := self._duration()) is not None:
            self.num_frames = round(duration * self.fps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield one of ``every`` frames, beginning with the first; what is damaged is passed over.

        All have the size of the first: later frames of another size are scaled to it.
        """
        stuck, seconds = 0, Fraction(-1)
        for number, frame in enumerate(self._decoded()):
            if number == 0:
                self._look(frame)
            known = number / self.fps if frame.pts is None else frame.pts * self.time_base - self._start
            if known <= seconds:  # clocks of broken files stand still or run back, and no player takes that
                stuck += 1
                if seconds - known > 1 / self.fps:  # another clock begins, as in recordings put one after another
                    self._start += known - seconds - 1 / self.fps
                    known = seconds + 1 / self.fps
                else:
                    known = seconds + self.time_base
            seconds = known
            if number % every == 0:
                yield Frame(number, seconds, self._image(frame))
        if stuck:
            self.notes.append(f"{stuck} times are not after the one before; they are set to follow it.")
        if self.problem is None:
            self.problem = self._what_was_wrong(seconds)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Yield what can be decoded, and count what cannot."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (self._av.FFmpegError, OSError) as error:
                self.problem = f"{self.name}: reading ended after {self._num_decoded} frames ({_reason(error)})."
                return
            self._num_damaged += packet.is_corrupt
            try:
                frames = packet.decode()
            except self._av.FFmpegError:
                self._num_damaged += 1
                continue
            self._num_decoded += len(frames)
            yield from frames

    def _look(self, frame: av.VideoFrame) -> None:
        """Take from the first frame what holds for all."""
        self._start, self._size = (frame.pts or 0) * self.time_base, (frame.width, frame.height)
        # Asked for once: a frame that was asked for it is not freed when it is let go.
        found = cast("Mapping[str, Buffer]", frame.side_data)
        self._matrix = bytes(found["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in found else None
        ratio = Fraction(self._stream.sample_aspect_ratio or 1)
        self.pixel_ratio = 1 / ratio if self._matrix is not None and _lies(self._matrix) else ratio

    def _image(self, frame: av.VideoFrame) -> Image:
        if (frame.width, frame.height) != self._size:
            note = "The size of the frames changes; all are scaled to that of the first."
            self.notes += [note] if note not in self.notes else []
            frame = frame.reformat(width=self._size[0], height=self._size[1])
        pixels = cast("Image", frame.to_ndarray(format="rgb24"))
        return np.ascontiguousarray(_upright(pixels, self._matrix))

    def _duration(self) -> Fraction | None:
        """Return how long the video is by its header, in seconds, where it says so."""
        if self._stream.duration is not None:
            return Fraction(self._stream.duration * self.time_base)
        told = re.match(
            r"(\d{1,9}):(\d{1,9}):(\d{1,9}\.?\d{0,9})", self._stream.metadata.get("DURATION", "")
        )  # Matroska's
        if told is not None:
            return int(told[1]) * 3600 + int(told[2]) * 60 + Fraction(told[3])
        if self._container.duration is not None and len(self._container.streams) == 1:
            return Fraction(self._container.duration, self._av.time_base)
        return None

    def _what_was_wrong(self, seconds: Fraction) -> str | None:
        duration = self._duration()
        # Frames that an edit of the file hides are in its count, but not in its duration.
        lacking = not 0 < self._stream.frames <= self._num_decoded
        if lacking and duration is not None and duration > seconds + 2 / self.fps:
            there = f"{self._num_decoded} frames, to second {max(float(seconds), 0):.2f} of {float(duration):.2f}"
            return f"{self.name} is cut short or damaged: {there}, are there."
        if self._num_damaged:
            return f"{self.name} is damaged: {self._num_damaged} parts of it could not be decoded whole."
        return None


class VideoWriter:
    """A video file (MP4, H.264) that is written frame by frame, each with its time.

    Args:
        path: of the file.
        time_base: seconds of one tick of its clock.
        fps: frames per second, on average.

    Raises:
        ImageError: a frame cannot be encoded.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, time_base: Fraction, fps: Fraction) -> None:
        self._av = _pyav()
        self._time_base, self._fps = time_base, fps
        self._container = self._av.open(f"file:{path}", "w", format="mp4")
        self._stream: av.VideoStream | None = None
        self._last = -1

    def write(self, image: Image, seconds: Fraction, pixel_ratio: Fraction = Fraction(1)) -> None:
        """Append an H x W x 3 uint8 RGB image; odd sides are filled up to even ones.

        Args:
            image: of the size of the first.
            seconds: more than before.
            pixel_ratio: width of a pixel by its height; that of the first image counts.
        """
        # Chroma is stored for 2 x 2 pixels, and few players know another way.
        image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
        try:
            stream = self._stream or self._begin(image.shape[0], image.shape[1], pixel_ratio)
            frame = self._av.VideoFrame.from_ndarray(image, "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.time_base = self._time_base
            frame.pts = self._last = max(round(seconds / self._time_base), self._last + 1)
            self._container.mux(stream.encode(frame))
        except self._av.FFmpegError as error:
            raise _unwritten(error) from error

    def close(self) -> None:
        """Write what the encoder holds back, and the table of all frames."""
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode())
        except self._av.FFmpegError as error:
            raise _unwritten(error) from error
        finally:
            self._container.close()

    def _begin(self, height: int, width: int, pixel_ratio: Fraction) -> av.VideoStream:
        h264 = "libx264" in self._av.codecs_available
        stream = cast("av.VideoStream", self._container.add_stream("libx264" if h264 else "mpeg4", rate=self._fps))
        codec = stream.codec_context
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        if h264:
            codec.options = {"preset": "veryfast", "crf": "20"}
        else:
            codec.bit_rate = 4 * width * height
            self._time_base = Fraction(1, 60_000)  # this codec's clock has 16 bits
        codec.time_base = self._time_base
        codec.sample_aspect_ratio = pixel_ratio
        codec.colorspace = codec.color_primaries = codec.color_trc = 1  # BT.709
        codec.color_range = 1
        self._stream = stream
        return stream


def shown_name(source: str) -> str:
    """Return a source as it may be shown and written down: an address without its user and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", source)


def is_address(source: str) -> bool:
    """Tell whether a source is something else than a file: an address, or a camera of Linux."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|/dev/video\d+$", source) is not None


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ImageError("Videos need PyAV, which is not installed: pip install 'scenescope[video]'.") from error
    return av


def _opened(av: ModuleType, source: str, stream: bool) -> InputContainer:
    """Open a file, and nothing else; or what is named as a stream, and no file."""
    if not stream:
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        try:
            with open(source, "rb"):
                pass
        except (OSError, ValueError) as error:  # ValueError: a null character
            raise ImageError(f"Cannot open {source}: {_reason(error)}; check the path.") from error
        container: InputContainer = av.open(f"file:{source}", options=options, metadata_errors="replace")
        return container
    camera = source.startswith("/dev/")
    protocol = source.partition("://")[0].lower()
    if not is_address(source) or (not camera and protocol not in _PROTOCOLS):
        raise ImageError(
            f"{shown_name(source)} is no stream that can be opened; give an address that begins with one of"
            f" {', '.join(_PROTOCOLS)} and ://, or /dev/video0; for a file leave --stream out."
        )
    options = {} if camera else {"protocol_whitelist": ",".join(_PROTOCOLS + _BENEATH)}
    container = av.open(
        source, format="v4l2" if camera else None, options=options, timeout=_PATIENCE, metadata_errors="replace"
    )
    return container


def _upright(pixels: Image, matrix: bytes | None) -> Image:
    """Turn and mirror H x W x 3 pixels as a display matrix says: (x, y) comes to (a x + c y, b x + d y)."""
    if matrix is None:
        return pixels
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    down, right = d, a
    if _lies(matrix):
        pixels, down, right = pixels.swapaxes(0, 1), b, c
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def _lies(matrix: bytes) -> bool:
    """Tell whether a display matrix exchanges height and width."""
    a, b = struct.unpack("=2i", matrix[:8])
    return bool(abs(b) > abs(a))


def _reason(error: BaseException) -> str:
    if type(error).__name__ == "ExitError":  # how PyAV says that its time was up
        return f"no data for {_PATIENCE:.0f} seconds"
    return getattr(error, "strerror", None) or first_line(error)


def _unwritten(error: Exception) -> Exception:
    """Return the error of a place that cannot be written as it is, that of a frame in our words."""
    if isinstance(error, OSError):
        return error
    return ImageError(f"The overlay cannot be encoded ({_reason(error)}); leave it out (--no-overlay).")
