"""Predicting and scoring CamVid's validation split: this code, an earlier commit of it, and other packages.

    python benchmarks/predict.py CAMVID [--against COMMIT] [--peers PYTHON] [--rounds 3] [--images 101]

Whole processes, started in turn: `scenescope predict` (label maps and overlays) and `scenescope evaluate`, both models
of the box, with the defaults of a user. Images a second count start and loading of the model as well; `compute` leaves
out what a run on one image takes. Memory is the most that a process held. `--peers` names a Python in which ultralytics
and torchvision are installed; they do the same job, images in, label maps and overlays out, with random weights:
ultralytics' smallest semantic network (yolo26n-sem) and torchvision's lraspp_mobilenet_v3_large.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

from measure import table, write_page

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "predict_peers.py"
MODELS = ("camvid-danet-lite0", "camvid-sanet-lite0")


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    start = time.perf_counter()
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} ...: {ended.stderr[-2000:]}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Return the seconds that a command takes and the bytes that its process held at most."""
    # In a process of its own, whose only child it is.
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (command, environment))


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Give the source folder of a commit of this repository."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", "--quiet", place, commit], check=True)
        try:
            yield Path(place) / "src"
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", place], check=True)


def jobs(
    images: list[str], camvid: Path, sources: dict[str, Path], peers: str | None
) -> Iterator[tuple[str, str, Callable[[Path], tuple[list[str], dict[str, str]]]]]:
    """Yield each job: what is done, by what, and the command with its environment for a folder to write to."""

    def scenescope(source: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-m", "scenescope", *arguments], {
            "PYTHONPATH": f"{source}{os.pathsep}{source.parent / 'box' / 'src'}"
        }

    for model in MODELS:
        for name, source in sources.items():
            yield (
                f"predict, {model}",
                name,
                lambda out, source=source, model=model: scenescope(  # type: ignore[misc]
                    source, "predict", *images, "--model", model, "--output", str(out)
                ),
            )
        for name, source in sources.items() if len(images) > 1 else ():
            yield (
                f"evaluate, {model}",
                name,
                lambda out, source=source, model=model: scenescope(  # type: ignore[misc]
                    source, "evaluate", f"camvid:{camvid}", "--model", model
                ),
            )
    for network in ("ultralytics", "torchvision") if peers else ():
        yield (
            "predict, other packages",
            network,
            lambda out, network=network: ([str(peers), str(PEERS), network, str(out), *images], {}),  # type: ignore[misc]
        )


def main() -> None:
    """Time every job in turn and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("--against", default="c0ac618")
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=101)
    arguments = parser.parse_args()
    files = [str(path) for path in sorted((arguments.camvid / "val" / "images").iterdir())]
    whole, files = len(files), files[: arguments.images]
    taken: dict[tuple[str, str], list[tuple[float, int]]] = {}
    single: dict[tuple[str, str], float] = {}
    with checked_out(arguments.against) as before:
        sources = {arguments.against: before, "now": ROOT / "src"}
        for number in range(arguments.rounds):
            for what, who, command in jobs(files, arguments.camvid, sources, arguments.peers):
                with tempfile.TemporaryDirectory() as place:
                    taken.setdefault((what, who), []).append(timed(*command(Path(place) / "out")))
                print(number, what, who, f"{taken[what, who][-1][0]:.1f} s", flush=True)
        for what, who, command in jobs(files[:1], arguments.camvid, sources, arguments.peers):
            with tempfile.TemporaryDirectory() as place:
                single[what, who] = timed(*command(Path(place) / "out"))[0]
    rows = []
    for (what, who), runs in taken.items():
        seconds, most = statistics.median(each[0] for each in runs), max(each[1] for each in runs)
        first = taken.get((what, arguments.against))
        times = f"{statistics.median(each[0] for each in first) / seconds:.2f}" if first else ""
        alone = single.get((what.replace("evaluate", "predict"), who), 0.0)
        # evaluate takes the whole split.
        images = len(files) if what.startswith("predict") else whole
        compute = (images - 1) / max(seconds - alone, 1e-9)
        rows.append([what, who, f"{images / seconds:.2f}", f"{compute:.2f}", times, f"{most / 1e6:,.0f}"])
    told = table(["job", "by", "images a second", "compute", "times as many", "MB"], rows)
    write_page(__file__, "Predicting and scoring a folder of images", __doc__, told)
    print(told)


if __name__ == "__main__":
    main()
