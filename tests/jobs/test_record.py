import json

import pytest
import torch
from torch import nn

from scenescope.errors import StorageError
from scenescope.files import sha256
from scenescope.inference.prediction import ENDINGS, LABELS
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.jobs.inputs import ImageFile
from scenescope.jobs.record import Entry, Record, content_of, fingerprint
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["road", "sky", "car"])


@pytest.fixture
def image(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"pixels")
    return ImageFile(tmp_path / "photo.png", "photo")


@pytest.fixture
def folder(tmp_path, image):
    """Return a folder with the labels of the image and the line about them."""
    folder = tmp_path / "out"
    folder.mkdir()
    labels = folder / "photo_labels.png"
    labels.write_bytes(b"labels")
    files = {LABELS: sha256(labels)}
    Record(folder).add(Entry("photo", str(image.path), content_of(image.path), "A", "h", ["row"], files))
    return folder


def done(folder, image, made_by="A"):
    return Record(folder).find_done(image, made_by, (LABELS,)) is not None


def test_done_is_what_the_same_model_made_of_the_same_image(folder, image):
    assert done(folder, image)
    assert not done(folder, image, "B")
    assert Record(folder).find_done(image, "A", ENDINGS) is None
    (folder / "photo_labels.png").write_bytes(b"others")
    assert not done(folder, image)


def test_another_image_of_the_same_name_is_not_done(folder, image):
    image.path.write_bytes(b"others")
    assert not done(folder, image)
    image.path.unlink()
    assert not done(folder, image)


def test_a_torn_line_costs_itself_alone(folder, image):
    lines = folder / ".fingerprint"
    line = json.loads(lines.read_text())
    lines.write_bytes(b'{"name": "x"}\n[1]\n\xff\n' + b"[" * 99_999 + b"\n" + lines.read_bytes() + b'{"name": "pho')
    assert done(folder, image)
    Record(folder).add(Entry(**line | {"made_by": "B"}))
    assert done(folder, image, "B")
    assert not done(folder, image)


def test_ours_are_the_files_of_any_line_and_no_others(folder, image):
    record = Record(folder)
    entry = record.entries["photo"]
    # The line of a prediction that was killed before its file was moved here.
    record.add(Entry(**vars(entry) | {"files": {LABELS: "0" * 64}}))
    Record(folder).require_ours(image, (LABELS,))
    (folder / "photo_labels.png").write_bytes(b"by hand")
    with pytest.raises(StorageError, match=r"photo_labels.png is in the way .* move it or choose another --output"):
        Record(folder).require_ours(image, (LABELS,))


def test_files_about_another_image_are_not_replaced(folder, image, tmp_path):
    other = tmp_path / "elsewhere.png"
    other.write_bytes(b"others")
    with pytest.raises(StorageError, match=r"tells of another image, .*photo.png, .* choose another --output"):
        Record(folder).require_ours(ImageFile(other, "photo"), (LABELS,))
    image.path.rename(other)  # moved, and the same
    Record(folder).require_ours(ImageFile(other, "photo"), (LABELS,))


def segmenter(classes=CLASSES, settings=None, **changes):
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16)
    for name, value in changes.items():
        setattr(network, name, value)
    return Segmenter(network, classes, settings=settings)


def test_a_fingerprint_is_of_all_that_labels_and_colors_depend_on():
    base = segmenter()
    changed = [
        segmenter(Classes.named(["road", "sky", "bus"])),
        segmenter(Classes.named(["road", "sky", "car"], [(1, 2, 3), (4, 5, 6), (7, 8, 9)])),
        segmenter(settings=InferenceSettings(flip=True)),
        segmenter(align_corners=not base.network.align_corners),
        segmenter(input_scale=1.5),
        segmenter(config=base.network.config | {"channel_form": "paper"}),
        segmenter(),
        segmenter(),
    ]
    with torch.no_grad():
        next(iter(changed[-2].network.parameters())).view(-1)[0] += 1e-3
    next(module for module in changed[-1].network.modules() if isinstance(module, nn.Conv2d)).stride = (1, 1)
    assert fingerprint(base) == fingerprint(segmenter())
    assert len({fingerprint(each) for each in (base, *changed)}) == len(changed) + 1
