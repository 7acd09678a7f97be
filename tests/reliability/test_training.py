"""Trainings whose validation, models, data or readers fail, and data that change beneath them."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints import model_directory
from scenescope.data.fingerprint import difference, fingerprint
from scenescope.data.folder import open_folder
from scenescope.errors import ImageError, ScenescopeError
from scenescope.files import CHECKSUMS
from scenescope.inference.segmenter import Segmenter
from scenescope.training.log import read_log
from scenescope.training.loop import Training
from tests.reliability.runs import SETTINGS, STEPS, die, final_weights, run, strays, train
from tests.training.tiny import Few, tiny_training

ROOT = Path(__file__).resolve().parents[2]
OFTEN = {"validate_every": 2}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    assert run(train, place, **OFTEN) == 0
    return place


def outcome(place):
    """Return what a run leaves, without times: last checkpoint, log and models."""
    rows = [{key: value for key, value in row.items() if "seconds" not in key} for row in read_log(place / "log.jsonl")]
    return final_weights(place), rows, [(place / model / CHECKSUMS).read_text() for model in ("best", "last")]


def end_in_validation(directory, number, image):
    """Get a signal at an image of the validations, counted over all of them; leave as the command line would."""
    torch.set_num_threads(1)
    predict, seen = Segmenter.labels, []

    def counted(*arguments, **options):
        seen.append(1)
        if len(seen) == image:
            os.kill(os.getpid(), number)
        return predict(*arguments, **options)

    Segmenter.labels = counted
    result = tiny_training(directory, **(SETTINGS | OFTEN)).run()
    (directory / "seen").write_text(str(len(seen)))
    raise SystemExit(128 + (result.signal or 0))


def test_ended_within_a_validation(undisturbed, times, promise, tmp_path):
    tried, survived = times(40, 2), 0
    generator = random.Random(0)
    for turn in range(tried):
        place, number = tmp_path / str(turn), (signal.SIGKILL, signal.SIGTERM)[turn % 2]
        # Four validations of seven images; the last is that of the last step.
        image = generator.randrange(1, 4 * 7 + 1)
        code = run(end_in_validation, place, number, image)
        at_once = number == signal.SIGKILL or int((place / "seen").read_text()) == image
        assert run(train, place, **OFTEN) == 0
        ended = code == (-number if number == signal.SIGKILL else 128 + number)
        survived += ended and at_once and outcome(place) == outcome(undisturbed) and not strays(place)
    promise("killed or told to end within a validation: out at the next image, resumed bit-identical", tried, survived)


def fail_saving(directory, number, how):
    """Let the disk be full, or die, while the model of this number is saved."""
    torch.set_num_threads(1)
    write, saved = model_directory.write_tensors, []

    def part(state, path):
        write(state, path)
        saved.append(1)
        if len(saved) == number:
            os.truncate(path, path.stat().st_size // 2)
            if how == "die":
                die()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    model_directory.write_tensors = part
    training = tiny_training(directory, **(SETTINGS | OFTEN))
    try:
        training.run()
    except ScenescopeError as error:
        (directory / "said").write_text(str(error))
        raise SystemExit(2) from error


def test_failed_within_saving_a_model(undisturbed, times, promise, tmp_path):
    tried, survived = times(20, 2), 0
    for turn in range(tried):
        # The first is ``best`` of step 2; the last two are of the last steps, by their scores.
        place, number, how = tmp_path / str(turn), 1 + turn // 2 % 2, ("full", "die")[turn % 2]
        code = run(fail_saving, place, number, how)
        told = how == "die" or "No space left" in (place / "said").read_text()
        kept = any((place / "checkpoints").iterdir())
        assert run(train, place, **OFTEN) == 0
        survived += code == (-9 if how == "die" else 2) and told and kept and outcome(place) == outcome(undisturbed)
    promise(
        "killed, or no space, while a model is saved: the checkpoint is kept, resumed bit-identical", tried, survived
    )


class Spoilt(Few):
    """A scene cannot be read from a certain reading on; or its reader is killed."""

    def __init__(self, after, how):
        super().__init__("", "train")
        self.left, self.how = after, how

    def __getitem__(self, index):
        self.left -= 1
        if self.left < 0:
            if self.how == "killed":
                die()
            raise ImageError(f"Cannot read {self.name(index)}: the image is damaged; copy it again.")
        return super().__getitem__(index)


def train_spoilt(directory, after, how, num_workers):
    multiprocessing.set_start_method("fork", force=True)  # a fork server of its own would have to load torch
    torch.set_num_threads(1)
    training: Training = tiny_training(
        directory, num_workers=num_workers, **(SETTINGS | OFTEN | {"checkpoint_every": 100})
    )
    training.train_set = Spoilt(after, how)
    try:
        training.run()
    except ScenescopeError as error:
        (directory / "said").write_text(str(error))
        raise SystemExit(2) from error


@pytest.mark.parametrize("how", ["unreadable", "killed"])
def test_images_that_go_bad_under_a_training(how, undisturbed, times, promise, tmp_path):
    tried, survived = times(20, 1), 0
    generator = random.Random(1)
    for turn in range(tried):
        place, num_workers = tmp_path / str(turn), 1 if how == "killed" else turn % 2
        # Two parts of two images a step; a worker reads one part ahead.
        after = generator.randrange(4, 4 * STEPS - 4)
        code = run(train_spoilt, place, after, how, num_workers)
        said = (place / "said").read_text()
        steps = [int(path.name[5:]) for path in (place / "checkpoints").iterdir()]
        assert run(train, place, **OFTEN) == 0
        survived += (
            code == 2 and "\n" not in said and max(steps) == after // 4 and outcome(place) == outcome(undisturbed)
        )
    what = "an image that goes bad" if how == "unreadable" else "a reading process killed (-9)"
    promise(f"{what}: one line, every step done is saved, resumed bit-identical", tried, survived)


CRAMPED = """
import resource, sys
from pathlib import Path
from tests.training.tiny import tiny_training

if __name__ == "__main__":
    training = tiny_training(Path(sys.argv[1]), backbone="test_resnet", num_workers=2, steps=3, batch_size=8)
    if sys.argv[2] == "files":
        import os
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + int(sys.argv[3]),) * 2)
    training.run()
"""


def cramped(place, how, number):
    script = place / "cramped.py"
    script.write_text(CRAMPED)
    command = [sys.executable, str(script), str(place / "run"), how, str(number)]
    if how == "memory":
        mounted = f"mount -t tmpfs -o size={number}k tmpfs /dev/shm && exec "
        command = ["unshare", "-m", "bash", "-c", mounted + " ".join(command)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def may_mount():
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], capture_output=True, check=False
    )
    return tried.returncode == 0


def test_little_shared_memory_and_few_open_files_hang_nothing(times, promise, tmp_path):
    """Batches of 200 kB; the kernel gives a container 64 MB, and here 64 kB, for all of them."""
    cases = [("files", number) for number in range(0, times(16, 2) * 2, 2)]
    if shutil.which("unshare") and may_mount():
        cases += [("memory", 64 * number) for number in range(1, times(8, 1) + 1)]
    elif not cases:
        pytest.skip("needs the right to mount")
    survived = 0
    for turn, (how, number) in enumerate(cases):
        place = tmp_path / str(turn)
        place.mkdir()
        done = cramped(place, how, number)
        last = done.stderr.strip().splitlines()[-1:]
        survived += done.returncode == 0 or (how == "files" and "scenescope.errors." in "".join(last))
    promise("little shared memory, few open files, with workers: works or ends in one line", len(cases), survived)


def write_data(root, generator):
    numbers = np.random.default_rng(generator.randrange(2**32))
    for split, count in (("train", 3), ("val", 2)):
        for kind, shape, suffix in (("images", (20, 24, 3), "png"), ("masks", (20, 24), "bmp")):
            (root / kind / split).mkdir(parents=True)
            for name in range(count):
                content = numbers.integers(0, 3, shape, dtype=np.uint8)
                Image.fromarray(content).save(root / kind / split / f"{split}-{name}.{suffix}")
    (root / "classes.yaml").write_text("names: [road, sky, car]\n")


def change_data(root, generator):
    """Change the data in some way that changes what is learned."""
    split = generator.choice(["train", "val"])
    how = generator.choice(["add", "remove", "image", "label", "order", "name", "value", "class"])
    first = sorted((root / "images" / split).iterdir())[0]
    mask = root / "masks" / split / f"{first.stem}.bmp"
    if how == "add":
        shutil.copy(first, first.with_stem("another"))
        shutil.copy(mask, mask.with_stem("another"))
    elif how == "remove":
        first.unlink()
        mask.unlink()
    elif how in ("image", "label"):
        path = first if how == "image" else mask
        state, content = path.stat(), np.array(Image.open(path))
        content[generator.randrange(20), generator.randrange(24)] += 1
        Image.fromarray(content).save(path)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        texts = {
            "order": "names: [sky, road, car]",
            "name": "names: [road, sky, bus]",
            "value": "names: [road, sky, car]\nvalues: [1, 0, 2]",
            "class": "names: [road, sky, car, bus]",
        }
        (root / "classes.yaml").write_text(texts[how])


def test_changed_data_are_noticed(times, promise, tmp_path):
    tried, noticed = times(1000, 30), 0
    for number in range(tried):
        root, generator = tmp_path / str(number), random.Random(number)
        write_data(root, generator)
        before = json.loads(json.dumps(fingerprint(*(open_folder(str(root), split) for split in ("train", "val")))))
        change_data(root, generator)
        now = fingerprint(*(open_folder(str(root), split) for split in ("train", "val")))
        noticed += difference(before, now) is not None
        shutil.rmtree(root)
    promise("data changed before a resume (8 kinds, dates set back): noticed", tried, noticed)


def test_lines_of_a_log_that_are_none_cost_themselves_only(times, promise, tmp_path):
    tried, survived = times(1000, 50), 0
    generator = random.Random(0)
    log = tmp_path / "log.jsonl"
    for _ in range(tried):
        rows = [{"step": step, "loss": generator.random()} for step in range(1, 20)]
        lines = [json.dumps(row).encode() for row in rows]
        at = generator.randrange(len(rows))
        torn = lines[at][: generator.randrange(1, len(lines[at]))]
        others = [b"[]", b"7", b"\xff\xfe", b"null", b"", b"[" * 100_000, b'{"loss": 1}', b'{"step": "3"}']
        damage = generator.choice([torn, *others])
        log.write_bytes(b"\n".join([*lines[:at], damage, *lines[at + 1 :]]) + b"\n")
        survived += read_log(log) == rows[:at] + rows[at + 1 :]
    promise("a line of the log torn or replaced: that row is lost and no other", tried, survived)
