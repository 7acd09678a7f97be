from __future__ import annotations

import io
import random
import stat
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.dataset import FileDataset
from scenescope.errors import DataError
from scenescope.lab import submission_check
from scenescope.lab.submission import SERVERS, voc_competition
from scenescope.lab.submission_check import check_submission, submission_notes

SIZES = {"berlin_000000_000019": (3, 2), "bonn_000010_000019": (2, 2)}
BERLIN, BONN = (f"{name}_labelIds.png" for name in SIZES)


def png(size: tuple[int, int], value: object = 7, mode: str = "L", format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value).save(buffer, format=format)
    return buffer.getvalue()


GOOD = {BERLIN: png((3, 2)), BONN: png((2, 2), 33)}


@pytest.fixture
def archive(tmp_path: Path):
    """A function that writes an archive of some files and returns what is wrong with it."""

    def check(files: dict[str, bytes], server=SERVERS["cityscapes"], sizes=SIZES, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "out.zip", "w", compression) as written:
            for name, content in files.items():
                written.writestr(name, content)
        return check_submission(server, sizes, tmp_path / "out.zip")

    return check


def test_a_good_archive_has_no_fault_and_may_be_compressed_and_in_folders(archive) -> None:
    assert archive(GOOD) == {}
    foldered = {f"results/{name.replace('labelIds', 'leftImg8bit')}": content for name, content in GOOD.items()}
    assert archive({"results/": b"", **foldered}, compression=zipfile.ZIP_DEFLATED) == {}


@pytest.mark.parametrize(
    ("planted", "kind", "told"),
    [
        ({BONN: None}, "no prediction", "bonn_000010_000019"),
        ({"readme.txt": b"hello"}, "not a prediction of the split", "readme.txt"),
        ({"ulm_000000_000019_labelIds.png": png((3, 2))}, "not a prediction of the split", "ulm_000000_000019_"),
        ({f"again/{BONN}": png((2, 2))}, "more than one prediction of an image", "bonn_000010_000019"),
        ({BERLIN: png((2, 3))}, "another size than its image", f"{BERLIN} is 2 x 3, its image 3 x 2"),
        ({BERLIN: png((9000, 9000))}, "too large a file", BERLIN),
        ({BERLIN: png((3000, 3000))}, "another size than its image", f"{BERLIN} is 3000 x 3000"),
        ({BERLIN: png((3, 2), (7, 7, 7), "RGB")}, "not a PNG of the right kind", f"{BERLIN} (PNG of pixel type RGB)"),
        ({BERLIN: png((3, 2), 7, "I;16")}, "not a PNG of the right kind", f"{BERLIN} (PNG of pixel type I;16)"),
        ({BERLIN: png((3, 2), format="BMP")}, "not a PNG of the right kind", f"{BERLIN} (BMP of pixel type L)"),
        ({BERLIN: png((3, 2), 18)}, "a value that the server does not know", f"{BERLIN} (18)"),
        ({BERLIN: b""}, "unreadable", f"Cannot read {BERLIN}: not an image"),
        ({BERLIN: GOOD[BERLIN][:45]}, "unreadable", f"Cannot read {BERLIN}: the image is damaged"),
        ({f"../{BONN}": png((2, 2)), BONN: None}, "unsafe name or kind of file", f"'../{BONN}'"),
        ({f"C:\\{BONN}": png((2, 2))}, "unsafe name or kind of file", "'C:"),
        ({f"\x1b[31m{BONN}": png((2, 2))}, "unsafe name or kind of file", "'\\x1b[31m"),
    ],
)
def test_a_planted_fault_is_found_and_named(archive, planted, kind, told) -> None:
    files = {name: content for name, content in {**GOOD, **planted}.items() if content is not None}
    faults = archive(files)
    assert faults[kind][0].startswith(told), faults
    missing = {"no prediction"} if planted.get(BONN, b"") is None else set()
    assert set(faults) == {kind} | missing


def test_every_fault_is_told_at_once(archive) -> None:
    faults = archive({"readme.txt": b"", BERLIN: png((9, 9)), "two.txt": b""})
    assert faults == {
        "no prediction": ["bonn_000010_000019"],
        "not a prediction of the split": ["readme.txt", "two.txt"],
        "another size than its image": [f"{BERLIN} is 9 x 9, its image 3 x 2"],
    }


def test_voc_asks_for_a_palette_its_competition_and_no_border(archive) -> None:
    server, sizes = SERVERS["voc"], {"2008_000006": (3, 2)}
    path = "results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png"
    assert archive({path: server.encode(np.full((2, 3), 20, np.uint8))}, server, sizes) == {}
    assert archive({path: png((3, 2), 20)}, server, sizes) == {
        "not a PNG of the right kind": [f"{path} (PNG of pixel type L)"]
    }
    assert archive({path: replace(server, values=(255,)).encode(np.zeros((2, 3), np.uint8))}, server, sizes) == {
        "a value that the server does not know": [f"{path} (255)"]
    }
    faults = archive({path: png((3, 2), 0, "P")}, voc_competition("comp5"), sizes)
    assert faults == {"no prediction": ["2008_000006"], "not a prediction of the split": [path]}


def test_ade20k_knows_no_0(archive) -> None:
    server, sizes = SERVERS["ade20k"], {"ADE_test_00000001": (3, 2)}
    for value, faults in ((150, {}), (0, "0"), (151, "151")):
        told = {"a value that the server does not know": [f"ADE_test_00000001.png ({faults})"]} if faults else {}
        assert archive({"ADE_test_00000001.png": png((3, 2), value)}, server, sizes) == told


UNSAFE = [
    (BERLIN, stat.S_IFLNK),
    (BERLIN, stat.S_IFIFO),
    (BERLIN, stat.S_IFCHR),
    (BERLIN, stat.S_IFBLK),
    (BERLIN, stat.S_IFSOCK),
    (BERLIN, stat.S_IFDIR),
    ("results/", stat.S_IFREG),
    ("results/", stat.S_IFLNK),
    ("../evil/", stat.S_IFDIR),
    ("../evil/", 0),
    ("/etc/", stat.S_IFDIR),
    ("a/./b/", stat.S_IFDIR),
    ("a//", stat.S_IFDIR),
    ("C:/", stat.S_IFDIR),
    ("\x1b[31m/", stat.S_IFDIR),
    ("/", stat.S_IFDIR),
]


@pytest.mark.parametrize(("name", "kind"), UNSAFE)
def test_what_would_be_unpacked_elsewhere_or_as_no_plain_file_is_unsafe(tmp_path: Path, name: str, kind: int) -> None:
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as written:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (kind | 0o777) << 16
        written.writestr(entry, "/etc/passwd")
        for each, content in GOOD.items():
            if each != name:
                written.writestr(each, content)
    faults = check_submission(SERVERS["cityscapes"], SIZES, tmp_path / "out.zip")
    assert faults["unsafe name or kind of file"] == [repr(name)]


def test_a_name_that_goes_on_behind_a_nul_is_unsafe(archive, tmp_path: Path) -> None:
    archive({BERLIN: GOOD[BERLIN], f"{BONN}.txt": GOOD[BONN]})
    path = tmp_path / "out.zip"
    path.write_bytes(path.read_bytes().replace(b".png.txt", b".png\0txt"))
    assert check_submission(SERVERS["cityscapes"], SIZES, path)["unsafe name or kind of file"] == [repr(BONN)]


def test_a_file_that_unpacks_to_more_than_it_says_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr(BERLIN, bytes(50_000_000))
    # The sizes in the local header and in the directory.
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 100)))
    tracemalloc.start()
    faults = check_submission(SERVERS["cityscapes"], {"berlin_000000_000019": (3, 2)}, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(faults) == ["unreadable"]
    assert peak < 5_000_000


def test_unusual_compression_is_not_unpacked(archive) -> None:
    faults = archive(GOOD, compression=zipfile.ZIP_LZMA)
    assert faults == {"unreadable": [f"{name} (compressed in an unusual way)" for name in GOOD]}


def test_an_archive_of_too_many_files_is_refused(archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission_check, "MAX_OTHER_FILES", 2)
    files = {**GOOD, "1": b"", "2": b""}
    assert archive(files)["not a prediction of the split"] == ["1", "2"]
    with pytest.raises(DataError, match=r"out.zip holds 5 files, but the split has 2 images"):
        archive({**files, "3": b""})


def test_what_is_no_archive_is_one_error(tmp_path: Path) -> None:
    for content, reason in (("no archive", "is not a whole zip archive"), (None, "Cannot read .*No such file")):
        if content is not None:
            (tmp_path / "out.zip").write_text(content)
        with pytest.raises(DataError, match=reason):
            check_submission(SERVERS["cityscapes"], SIZES, tmp_path / "out.zip")
        (tmp_path / "out.zip").unlink(missing_ok=True)


def test_a_damaged_archive_is_told_wherever_it_is_damaged(archive, tmp_path: Path) -> None:
    archive(GOOD)
    whole = (tmp_path / "out.zip").read_bytes()
    generator = random.Random(0)
    told = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        (tmp_path / "out.zip").write_bytes(damaged)
        try:
            told += bool(check_submission(SERVERS["cityscapes"], SIZES, tmp_path / "out.zip"))
        except DataError:
            told += 1
    # The rest hit times, permissions and the like.
    assert told > 100


def test_a_part_of_a_split_and_reduced_images_are_noted() -> None:
    dataset = FileDataset.__new__(FileDataset)
    for name, value in {"pairs": ((Path("a"), None),) * 2, "split": "test", "published": (1525,)}.items():
        object.__setattr__(dataset, name, value)
    notes = submission_notes(SERVERS["cityscapes"], dataset, {"a": (2048, 1024), "b": (256, 128)})
    assert notes == [
        "Split 'test' has 2 images here, not the published 1,525: the server asks for all of them.",
        "b is 256 x 128 pixels, not 2048 x 1024 as the server asks for (1 such images).",
    ]
    object.__setattr__(dataset, "published", (2,))
    assert submission_notes(SERVERS["voc"], dataset, {"a": (2048, 1024), "b": (256, 128)}) == []
