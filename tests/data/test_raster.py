import resource
import signal
import sys

import numpy as np
import pytest
import rasterio

from scenescope.data import raster
from scenescope.data.raster import Raster, RasterFacts, RasterWriter, read_facts
from scenescope.data.tiff_bands import tiff_facts
from scenescope.errors import ImageError, StorageError
from tests.geotiff import UTM, write_map


def numbers(height=300, width=520, bands=4, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 250, (height, width, bands)).astype(dtype)


def whole(place):
    """Return all numbers of a raster, and its nodata number."""
    with Raster(place) as raster:
        facts = raster.facts
        return raster.read(0, 0, facts.width, facts.height)[0], facts.nodata


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"interleave": "band", "compress": "lzw"},
        {"tiled": True, "blockxsize": 64, "blockysize": 128, "compress": "deflate", "predictor": 2},
        {"tiled": True, "compress": "zstd", "bigtiff": "yes"},
    ],
)
def test_every_layout_gives_the_numbers_that_were_written(tmp_path, dtype, profile):
    if dtype.startswith("float"):
        profile = {key: value for key, value in profile.items() if key != "predictor"}
    written = numbers(bands=5, dtype=dtype)
    found, nodata = whole(write_map(tmp_path / "a.tif", written, **profile, nodata=7))
    assert found.dtype == written.dtype
    assert np.array_equal(found, written)
    assert nodata == 7


def test_a_window_is_that_part_and_knows_where_nothing_is(tmp_path):
    written = numbers()
    written[10:20, 30:40] = 0
    written[15, 35, 2] = 9  # one band has a number: the pixel holds something
    with Raster(write_map(tmp_path / "a.tif", written, nodata=0)) as file:
        found, valid = file.read(25, 5, 100, 50, [2, 0])
    assert np.array_equal(found, written[5:55, 25:125][..., [2, 0]])
    empty = np.zeros((50, 100), bool)
    empty[5:15, 5:15] = True
    empty[10, 10] = False
    assert np.array_equal(valid, ~empty)


def test_not_a_number_is_nothing_in_any_band(tmp_path):
    written = numbers(dtype="float32")
    written[3, 4, 1] = np.nan
    with Raster(write_map(tmp_path / "a.tif", written)) as file:
        _, valid = file.read(0, 0, 520, 300)
    assert np.argwhere(~valid).tolist() == [[3, 4]]


def test_alpha_and_masks_say_where_nothing_is(tmp_path):
    written = numbers(bands=4, dtype="uint8")
    written[..., 3] = 255
    written[7, 8, 3] = 0
    place = write_map(tmp_path / "a.tif", written, photometric="rgb", alpha="yes")
    assert (read_facts(place).bands, read_facts(place).alpha) == (3, 3)
    with Raster(place) as file:
        found, valid = file.read(0, 0, 520, 300)
        assert np.array_equal(found, written[..., :3])
        assert np.argwhere(~valid).tolist() == [[7, 8]]
        assert file.read(0, 0, 520, 300, [0, 1, 2, 3])[1].all()  # asked for as a band, it is one
    place = write_map(tmp_path / "b.tif", written[..., :3], photometric="rgb")
    with rasterio.open(place, "r+") as file:
        file.write_mask(written[..., 3] > 0)
    with Raster(place) as file:
        assert np.argwhere(~file.read(0, 0, 520, 300)[1]).tolist() == [[7, 8]]


def test_facts_are_those_of_the_header(tmp_path):
    facts = read_facts(write_map(tmp_path / "a.tif", numbers(), nodata=0))
    assert facts == RasterFacts(
        tmp_path / "a.tif", 520, 300, 4, "uint16", (0.5, 0, 500_000, 0, -0.5, 5_500_000), "EPSG:32633", 0, None
    )
    assert facts.pixel_area == 0.25


def test_what_lies_nowhere_says_so(tmp_path, recwarn):
    facts = read_facts(write_map(tmp_path / "a.tif", numbers(), crs=None, transform=None))
    assert (facts.crs, facts.transform) == (None, None)


def test_damage_is_told_in_one_line(tmp_path):
    content = write_map(tmp_path / "a.tif", numbers(), compress="deflate").read_bytes()
    for end in (0, 8, 100, len(content) // 2):
        (tmp_path / "cut.tif").write_bytes(content[:end])
        with pytest.raises(ImageError, match=r"cut\.tif: (no GeoTIFF, or damaged|the file is empty)") as told:
            whole(tmp_path / "cut.tif")
        assert "\n" not in str(told.value)
    with pytest.raises(ImageError, match="no such file"):
        whole("/vsicurl/http://example.org/a.tif")


def test_only_geotiffs_are_opened(tmp_path):
    """A virtual raster names other files and addresses."""
    (tmp_path / "a.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    with pytest.raises(ImageError, match="no GeoTIFF"):
        Raster(tmp_path / "a.tif")


def test_a_block_too_large_to_decode_is_refused(tmp_path, monkeypatch):
    place = write_map(tmp_path / "a.tif", numbers(), blockysize=300, compress="deflate")
    monkeypatch.setattr(raster, "MAX_BLOCK", 520 * 300)
    with pytest.raises(ImageError, match=r"blocks of 520 x 300 pixels.*TILED=YES"):
        Raster(place)


def test_without_rasterio_the_extra_is_named(tmp_path, monkeypatch):
    place = write_map(tmp_path / "a.tif", numbers())
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImageError, match=r"pip install 'scenescope\[geo\]'"):
        Raster(place)


def test_rows_of_any_height_come_back(tmp_path):
    written = numbers(700, 300, 1, "uint8")
    facts = read_facts(write_map(tmp_path / "a.tif", written))
    place = tmp_path / "b.tif"
    with RasterWriter(place, facts, 1, "uint8", 255, colors=[(1, 2, 3)], tags={"CLASS_0": "road"}) as writer:
        for top, end in ((0, 1), (1, 256), (256, 700)):
            writer.write_rows(written[top:end].transpose(2, 0, 1))
    assert np.array_equal(whole(place)[0], written)
    with rasterio.open(place) as file:
        assert (file.transform, file.crs, file.nodata) == (UTM["transform"], rasterio.CRS.from_epsg(32633), 255)
        assert file.colormap(1)[0] == (1, 2, 3, 255)
        assert file.profile["tiled"]
    assert read_facts(place).classes == ("road",)


def test_a_disk_that_is_full_at_any_moment_is_told(tmp_path):
    """GDAL itself is silent where the last tiles do not fit."""
    written = numbers(300, 300, 1, "uint8")
    facts = read_facts(write_map(tmp_path / "a.tif", written))

    def write(name):
        with RasterWriter(tmp_path / name, facts, 1, "uint8", 255) as writer:
            writer.write_rows(written.transpose(2, 0, 1))

    write("whole.tif")
    size = (tmp_path / "whole.tif").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for room in (100, size // 2, size - 3000, size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
            with pytest.raises(StorageError, match="free some space"):
                write(f"{room}.tif")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("bigtiff", ["yes", "no"])
def test_what_lies_somewhere_is_told_from_the_tags(tmp_path, bigtiff):
    placed = write_map(tmp_path / "a.tif", numbers(), bigtiff=bigtiff)
    assert tiff_facts(placed) == (520 * 300, True)
    nowhere = write_map(tmp_path / "b.tif", numbers(), bigtiff=bigtiff, crs=None, transform=None)
    assert tiff_facts(nowhere) == (520 * 300, False)
    placed.write_bytes(placed.read_bytes()[:12])
    assert tiff_facts(placed) == tiff_facts(tmp_path / "none.tif") == (0, False)
