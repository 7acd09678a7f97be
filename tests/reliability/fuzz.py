"""Coverage-guided fuzzing of what reads text of others: ``make fuzz``, or ``python fuzz.py --minutes 10``.

Every reader either takes its input or refuses it with an error of scenescope in one line; anything else ends the run
with the input that caused it. Needs atheris (Linux).
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["scenescope"]):
    from scenescope.cli.attend import _parse_point
    from scenescope.cli.inference_options import inference_settings
    from scenescope.data.classes_yaml import read_class_file
    from scenescope.data.folder import open_folder
    from scenescope.errors import ScenescopeError
    from scenescope.recipes.reader import load_recipe
    from scenescope.yaml_reader import parse_yaml

PLACE = Path(tempfile.mkdtemp())
FOLDER = PLACE / "folder"
SEEDS = [
    b"\x00names: [road, sky]\ncolors: [[1, 2, 3], [[4, 5, 6], [7, 8, 9]]]\nignore: 255\n",
    b"\x01model: {name: danet}\ndata: {kind: scenes}\naugment: {crop: [64, 64]}\ntrain: {steps: 5}\n",
    b"\x02train.steps=5",
    b"\x03a\nimages/a.png masks/a.png\n",
    b"\x04120,80",
    b"\x050.75,1,1.25",
    b"\x06a: [1, 2e-4, 'x']\n",
]


def prepare() -> None:
    """Make a folder data set whose list is the input."""
    for kind in ("images", "masks"):
        (FOLDER / kind).mkdir(parents=True)
        (FOLDER / kind / "a.png").write_bytes(b"never read")
    (FOLDER / "classes.yaml").write_text("names: [road]\n")
    (PLACE / "corpus").mkdir()
    for number, seed in enumerate(SEEDS):
        (PLACE / "corpus" / str(number)).write_bytes(seed)


def read(data: bytes) -> None:
    """Give the input to the reader that its first byte names."""
    which, rest = (data[0] % len(SEEDS), data[1:]) if data else (0, b"")
    text, path = rest.decode("utf-8", "replace"), PLACE / "input.yaml"
    path.write_bytes(rest)
    (FOLDER / "train.txt").write_bytes(rest)
    readers = [
        lambda: read_class_file(path),
        lambda: load_recipe(str(path)),
        lambda: load_recipe("scenes/danet-demo", [text]),
        lambda: open_folder(str(FOLDER), "train"),
        lambda: _parse_point(text),
        lambda: inference_settings(text, None, None, None, text),
        lambda: parse_yaml(text, "the input", ScenescopeError),
    ]
    try:
        readers[which]()
    except ScenescopeError as error:
        if str(error).count("\n") > text.count("\n"):
            raise AssertionError("an error of several lines") from error


def main() -> None:
    """Fuzz for the minutes given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    prepare()
    limits = [f"-max_total_time={int(60 * minutes)}", "-timeout=20", "-rss_limit_mb=4000", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *limits, str(PLACE / "corpus")], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
