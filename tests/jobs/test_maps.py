import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from scenescope.bands import BandRule
from scenescope.errors import ImageError, ModelError, StorageError
from scenescope.files import staged_files
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.jobs.inputs import ImageFile
from scenescope.jobs.map_batch import predict_maps
from scenescope.jobs.maps import predict_map
from scenescope.labels import Classes
from tests.geotiff import UTM, write_map

NAMES = Classes.named(["red", "green", "blue"])


@pytest.fixture
def network(answering):
    """A network whose answer to a pixel hangs on its neighbors, so that windows differ at their borders."""
    torch.manual_seed(0)
    blur = nn.Conv2d(3, 3, 9, padding=4, bias=False)
    return answering(lambda images: blur(images / 10))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 250, (300, 430, 3)).astype("uint8")


def predicted(segmenter, place, tmp_path, probabilities=False):
    with staged_files() as files:
        result = predict_map(
            segmenter, place, files, tmp_path / "labels.tif", tmp_path / "p.tif" if probabilities else None
        )
    with rasterio.open(tmp_path / "labels.tif") as file:
        return result, file.read(1)


@pytest.mark.parametrize("border", ["shift", "pad"])
@pytest.mark.parametrize(("window", "stride"), [(64, None), (64, 64), (50, 7), (301, None), (500, 0.5), (1, None)])
def test_labels_are_those_of_windows_in_memory(network, image, tmp_path, window, stride, border):
    image = image[:60, :50] if window == 1 or stride == 7 else image
    settings = InferenceSettings(window=window, stride=stride, border=border)
    segmenter = Segmenter(network, NAMES, settings=settings)
    place = write_map(tmp_path / "a.tif", image, tiled=True, compress="lzw")
    result, labels = predicted(segmenter, place, tmp_path)
    assert np.array_equal(labels, segmenter.predict(image).labels)
    assert result.pixels.tolist() == np.bincount(labels.reshape(-1), minlength=3).tolist()


def test_labels_are_those_of_one_piece_where_windows_change_nothing(identity, image, tmp_path):
    place = write_map(tmp_path / "a.tif", image)
    _, labels = predicted(Segmenter(identity, NAMES, settings=InferenceSettings(window=70)), place, tmp_path)
    assert np.array_equal(labels, image.argmax(axis=2))


def test_nothing_stays_nothing_and_windows_of_nothing_are_not_looked_at(network, image, tmp_path):
    image[:200, :300] = 0
    place = write_map(tmp_path / "a.tif", image, nodata=0)
    segmenter = Segmenter(network, NAMES, settings=InferenceSettings(window=50))
    result, labels = predicted(segmenter, place, tmp_path)
    looked = len(network.sizes)
    whole = segmenter.predict(image).labels
    assert looked < len(network.sizes) - looked
    assert np.array_equal(labels == 255, (image == 0).all(axis=2))
    assert np.array_equal(labels[labels != 255], whole[labels != 255])
    assert result.nodata == 200 * 300


def test_the_label_map_lies_upon_the_map(identity, image, tmp_path):
    segmenter = Segmenter(identity, NAMES, settings=InferenceSettings(window=70))
    predicted(segmenter, write_map(tmp_path / "a.tif", image), tmp_path)
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert (file.transform, file.crs, file.nodata) == (UTM["transform"], rasterio.CRS.from_epsg(32633), 255)
        assert file.tags()["CLASS_1"] == "green"
        assert file.colormap(1)[2][:3] == NAMES.palette[2]


def test_probabilities_are_those_of_windows_in_memory(network, image, tmp_path):
    segmenter = Segmenter(network, NAMES, settings=InferenceSettings(window=64))
    predicted(segmenter, write_map(tmp_path / "a.tif", image, nodata=0), tmp_path, probabilities=True)
    expected = segmenter.predict(image, probabilities=True).probabilities
    with rasterio.open(tmp_path / "p.tif") as file:
        found = file.read()
        assert file.descriptions == NAMES.names
        assert file.scales[0] == 1 / 254
        assert "alpha" not in {kind.name for kind in file.colorinterp}
    assert np.abs(found / 254 - expected).max() < 0.5 / 254 + 1e-5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dtype": "uint16"}, "it has 3 bands of uint16"),
        ({"bands": 2}, "it has 2 bands"),
        ({"nodata": 9}, "holds nothing"),
    ],
)
def test_a_map_that_is_not_read_is_told_and_leaves_nothing(identity, tmp_path, change, told):
    numbers = np.full((40, 50, change.get("bands", 3)), 9, change.get("dtype", "uint8"))
    place = write_map(tmp_path / "a.tif", numbers, nodata=change.get("nodata"))
    segmenter = Segmenter(identity, NAMES, settings=InferenceSettings(window=20))
    with pytest.raises(ImageError, match=told):
        predicted(segmenter, place, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_gray_is_three_times_the_same_and_a_fourth_band_is_told(identity, image, tmp_path):
    segmenter = Segmenter(identity, NAMES, settings=InferenceSettings(window=100))
    result, labels = predicted(segmenter, write_map(tmp_path / "g.tif", image[..., :1]), tmp_path)
    assert not labels.any()
    four = np.concatenate([image, image[..., :1]], axis=2)
    result, labels = predicted(segmenter, write_map(tmp_path / "a.tif", four, photometric="minisblack"), tmp_path)
    assert np.array_equal(labels, image.argmax(axis=2))
    assert any("4 bands; the first three" in note for note in result.notes)


def test_settings_that_need_the_whole_map_are_refused(identity, image, tmp_path):
    place = write_map(tmp_path / "a.tif", image)
    for settings in ({}, {"window": 20, "flip": True}, {"window": 20, "scales": (2.0,)}):
        with pytest.raises(ModelError, match=r"--window 512|--scales, --flip"):
            predicted(Segmenter(identity, NAMES, settings=InferenceSettings(**settings)), place, tmp_path)


def test_maps_that_are_done_are_left_out_and_others_are_not_replaced(network, image, tmp_path):
    segmenter = Segmenter(network, NAMES, settings=InferenceSettings(window=200))
    whole, cut = write_map(tmp_path / "a.tif", image), tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[:50_000])
    files, output = [ImageFile(whole, "a"), ImageFile(cut, "cut")], tmp_path / "out"
    result = predict_maps(segmenter, files, output)
    assert [file.name for file in result.done] == ["a"]
    assert "cut.tif" in result.failed[0][1]
    assert sorted(path.name for path in output.iterdir()) == [".fingerprint", "a_labels.tif"]
    looked = len(network.sizes)
    assert predict_maps(segmenter, files[:1], output, resume=True).done == files[:1]
    assert len(network.sizes) == looked
    (output / "a_labels.tif").write_bytes(b"mine")
    with pytest.raises(StorageError, match="in the way"):
        predict_maps(segmenter, files[:1], output)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_network_of_four_bands_maps_four_bands(answering, tmp_path, dtype):
    """By the bands and the range that it declares; the labels are those of windows in memory."""
    torch.manual_seed(0)
    blur = nn.Conv2d(4, 3, 9, padding=4, bias=False)
    network = answering(lambda images: blur(images.nan_to_num()))
    network.in_channels = 4
    ranges = None if dtype == "uint8" else ((0.0, 3000.0),) * 4
    network.band_rule = BandRule((3, 2, 1, 0), ranges)
    numbers = np.random.default_rng(0).integers(1, 3000, (150, 200, 5)).astype(dtype)
    numbers[:20, :30] = 0
    segmenter = Segmenter(network, NAMES, settings=InferenceSettings(window=64))
    _, labels = predicted(segmenter, write_map(tmp_path / "a.tif", numbers, nodata=0), tmp_path)
    in_memory = segmenter.predict(np.where(numbers == 0, np.nan, numbers) if dtype == "float32" else numbers).labels
    assert (labels[:20, :30] == 255).all()
    if dtype == "uint16":  # an array has no nodata number: what is near the hole was seen as black there
        labels, in_memory = labels[30:], in_memory[30:]
        labels, in_memory = labels[:, 40:], in_memory[:, 40:]
    assert np.array_equal(labels[labels != 255], in_memory[labels != 255])


def test_a_map_that_does_not_fit_the_declared_bands_is_told(answering, image, tmp_path):
    network = answering(lambda images: images[:, :3])
    network.in_channels, network.band_rule = 4, BandRule((0, 1, 2, 3))
    segmenter = Segmenter(network, NAMES, settings=InferenceSettings(window=64))
    for numbers, told in ((image, "3 bands"), (image.repeat(2, 2).astype("uint16"), "uint16")):
        with pytest.raises(ImageError, match=told):
            predicted(segmenter, write_map(tmp_path / "a.tif", numbers), tmp_path)


def test_a_map_that_the_network_has_no_answer_for_costs_no_other(answering, tmp_path):
    files = []
    for name, value in (("a", 200), ("b", 9)):
        place = write_map(tmp_path / f"{name}.tif", np.full((30, 40, 3), value, np.uint8))
        files.append(ImageFile(place, name))
    segmenter = Segmenter(
        answering(lambda images: torch.where(images > 100, torch.nan, images)),
        NAMES,
        settings=InferenceSettings(window=20),
    )
    result = predict_maps(segmenter, files, tmp_path / "out")
    assert [file.name for file in result.done] == ["b"]
    assert "not a number" in result.failed[0][1]


def test_a_map_of_a_palette_is_no_gray_one(identity, tmp_path):
    place = write_map(tmp_path / "a.tif", np.zeros((30, 40, 1), np.uint8))
    with rasterio.open(place, "r+") as file:
        file.write_colormap(1, {0: (255, 0, 0)})
    with pytest.raises(ImageError, match="palette"):
        predicted(Segmenter(identity, NAMES, settings=InferenceSettings(window=20)), place, tmp_path)
