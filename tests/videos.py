"""Videos made for tests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


def moving_rectangle(num_frames: int = 6, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Return frames, H x W x 3: a blue rectangle that moves 4 pixels a frame over red above green."""
    frames = []
    for number in range(num_frames):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[: height // 2, :, 0] = frame[height // 2 :, :, 1] = 180
        frame[8:24, 4 * number : 4 * number + 16] = (0, 0, 200)
        frames.append(frame)
    return frames


def write_video(
    path: Path,
    frames: list[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv444p",
    times: list[Fraction] | None = None,
    time_base: Fraction = Fraction(1, 1000),
    turned: float = 0,
    audio: bool = False,
    pixel_ratio: Fraction = Fraction(1),
    **options: str,
) -> Path:
    """Write frames as a video, nearly without loss; every frame is one that others need not be known for.

    Args:
        times: of the frames, in seconds; 25 a second if not given.
        turned: degrees by which players are told to turn it.
        options: of the container, such as ``movflags``.
    """
    import av

    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
        if codec.startswith("libx26"):
            stream.options = {"crf": "1", "g": "1", "x265-params": "log-level=none", "preset": "ultrafast"}
        stream.codec_context.sample_aspect_ratio = pixel_ratio
        if turned:
            stream.set_display_rotation(turned)
        sound: Any = container.add_stream("aac", rate=44100, layout="mono") if audio else None
        if times is not None:
            stream.codec_context.time_base = time_base
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 44100
            container.mux(sound.encode(silence))
            container.mux(sound.encode())
    return path


def read_video(path: Path) -> list[tuple[float, np.ndarray]]:
    """Return seconds and pixels of every frame, by PyAV alone."""
    import av

    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
