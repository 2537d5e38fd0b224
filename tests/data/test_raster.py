"""Reading one raster, its georeference, and writing one."""

import contextlib
import math

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.raster import Raster, read_raster, write_geotiff
from landslide_tf.inputs.resize import resize_bilinear

# ---- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_lossless_formats_come_back(suffix, tmp_path, rng):
    values = rng.integers(0, 256, (13, 7, 3)).astype("uint8")
    raster = read_raster(write_raster(tmp_path / f"a{suffix}", values))
    np.testing.assert_array_equal(raster.values, values)
    assert raster.values.dtype == np.uint8 and raster.valid.all()
    assert raster.size == (13, 7)
    assert raster.transform is None and raster.bounds is None and raster.resolution_m() is None


def test_jpeg(tmp_path):
    values = np.full((16, 24, 3), (200, 100, 50), "uint8")
    raster = read_raster(write_raster(tmp_path / "a.jpg", values))
    assert raster.values.shape == (16, 24, 3) and raster.values.dtype == np.uint8
    # rounding of the colour transform
    assert np.abs(raster.values.astype(int) - values).max() <= 3


@pytest.mark.parametrize(
    "name, dtype, low, high",
    [
        ("a.png", "uint16", 0, 65535),
        ("a.tif", "uint16", 0, 65535),
        ("a.tif", "int16", -32768, 32767),
        ("a.tif", "float32", -5834.5, 6988.25),
        ("a.tif", "float64", 0.1, 1e12),
    ],
)
def test_bit_depths_come_back_unscaled(name, dtype, low, high, tmp_path):
    values = np.array([[low, high], [1, 2]], dtype)
    raster = read_raster(write_raster(tmp_path / name, values))
    assert raster.values.dtype == np.dtype(dtype) and raster.values.shape == (2, 2, 1)
    np.testing.assert_array_equal(raster.values[..., 0], values)
    assert raster.valid.all()


def test_one_pixel(tmp_path):
    raster = read_raster(write_raster(tmp_path / "a.png", np.full((1, 1, 3), 9, "uint8")))
    assert raster.size == (1, 1)
    resized, valid = resize_bilinear(raster.values[None], (16, 16), raster.valid[None, ..., None])
    np.testing.assert_allclose(resized, 9, rtol=1e-6)
    assert np.asarray(valid).all()


@pytest.mark.parametrize(
    "suffix, dtype", [(".png", "uint8"), (".tif", "uint8"), (".tif", "float32")]
)
@pytest.mark.parametrize("bands", [2, 4])
def test_alpha_of_zero_is_no_data_and_the_band_is_taken_off(suffix, dtype, bands, tmp_path, rng):
    values = rng.integers(1, 256, (4, 5, bands)).astype(dtype)
    values[..., -1] = [0, 1, 128, 255, 0]
    path = write_raster(tmp_path / f"a{suffix}", values)
    if suffix == ".tif":
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [*file.colorinterp[:-1], ColorInterp.alpha]
    raster = read_raster(path)
    np.testing.assert_array_equal(raster.values, values[..., :-1])
    # half transparent is data
    assert raster.valid.tolist() == [[False, True, True, True, False]] * 4


def test_nodata_tag(tmp_path):
    values = np.array([[-9999, 5.0, 7.0]], "float32")
    raster = read_raster(write_raster(tmp_path / "a.tif", values, nodata=-9999))
    assert raster.valid.tolist() == [[False, True, True]]
    # of three bands, a pixel is no data where all of them carry the tag: 0 is also a dark colour
    values = np.array([[[0, 0, 0], [0, 0, 9], [1, 2, 3]]], "uint8")
    raster = read_raster(write_raster(tmp_path / "b.tif", values, nodata=0))
    assert raster.valid.tolist() == [[False, True, True]]
    raster = read_raster(write_raster(tmp_path / "c.tif", values))
    assert raster.valid.all()


@pytest.mark.parametrize("tag", [None, math.nan, -1.0])
def test_nan_and_infinity_are_no_data(tag, tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, 1.0]], "float32")
    raster = read_raster(write_raster(tmp_path / "a.tif", values, nodata=tag))
    assert raster.valid.tolist() == [[False, False, False, True]]
    # one undefined band makes the pixel undefined
    values = np.ones((1, 2, 3), "float32")
    values[0, 0, 1] = np.nan
    raster = read_raster(write_raster(tmp_path / "b.tif", values, nodata=tag))
    assert raster.valid.tolist() == [[False, True]]


def test_nodata_as_an_option(tmp_path):
    values = np.array([[[0, 0, 0], [0, 0, 9], [255, 255, 255]]], "uint8")
    path = write_raster(tmp_path / "a.png", values)
    assert read_raster(path).valid.all()
    assert read_raster(path, nodata=0).valid.tolist() == [[False, True, True]]
    assert read_raster(path, nodata=-9999.0).valid.all()
    # beside the tag, not in its place
    values = np.array([[-9999, 5.0, -1.0]], "float32")
    path = write_raster(tmp_path / "b.tif", values, nodata=-9999)
    assert read_raster(path, nodata=-1).valid.tolist() == [[False, True, False]]
    # the lowest float32, as many tools write it, typed as they print it
    values = np.array([[-3.4028234663852886e38, 5.0]], "float32")
    path = write_raster(tmp_path / "c.tif", values)
    assert read_raster(path, nodata=-3.4028234663852886e38).valid.tolist() == [[False, True]]


def test_bands_are_chosen_by_number(tmp_path, rng):
    values = rng.integers(1, 256, (3, 4, 5)).astype("uint8")
    values[0, 0] = [0, 0, 9, 0, 0]
    path = write_raster(tmp_path / "a.tif", values)
    raster = read_raster(path, bands=(4, 2, 1), nodata=0)
    np.testing.assert_array_equal(raster.values, values[..., [3, 1, 0]])
    assert np.argwhere(~raster.valid).tolist() == [[0, 0]]  # of the bands that were asked for
    with pytest.raises(InputError, match="a.tif: has 5 bands, --bands asks for 6"):
        read_raster(path, bands=(6, 1, 2))


def test_internal_mask_of_a_geotiff(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((2, 2, 3), "uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.array([[255, 0], [255, 255]], "uint8"))
    assert read_raster(path).valid.tolist() == [[True, False], [True, True]]


def write_palette(path, index, colours):
    height, width = index.shape
    with rasterio.open(
        path, "w", driver="PNG", height=height, width=width, count=1, dtype="uint8"
    ) as file:
        file.write(index, 1)
        file.write_colormap(1, colours)
    return path


def test_colour_table(tmp_path):
    index = np.array([[0, 1], [2, 3]], "uint8")
    # of two transparent colours, neither is a nodata tag
    colours = {0: (10, 20, 30, 255), 1: (200, 0, 5, 255), 2: (7, 8, 9, 0), 3: (1, 2, 3, 0)}
    path = write_palette(tmp_path / "a.png", index, colours)
    raster = read_raster(path)
    assert raster.values.dtype == np.uint8
    assert raster.values[0].tolist() == [[10, 20, 30], [200, 0, 5]]
    assert raster.valid.tolist() == [[True, True], [False, False]]
    # a mask's colour table is for show: the numbers are the labels
    raster = read_raster(path, kind="mask")
    assert raster.values[..., 0].tolist() == [[0, 1], [2, 3]]


# ---- files that cannot be read -----------------------------------------------------------------


def check_refused(path):
    with pytest.raises(InputError) as error:
        read_raster(path)
    message = str(error.value)
    assert str(path) in message and "cannot be read" in message and "\n" not in message
    return message


KINDS_OF_IMAGE = {
    "rgb": lambda rng: rng.integers(0, 256, (60, 70, 3)).astype("uint8"),
    "16 bit": lambda rng: rng.integers(0, 65536, (60, 70, 3)).astype("uint16"),
    "alpha": lambda rng: rng.integers(0, 256, (60, 70, 4)).astype("uint8"),
    "smooth": lambda rng: np.tile(np.arange(200, dtype="uint8")[:, None, None], (1, 50, 3)),
    "mask": lambda rng: 255 * (rng.random((90, 90)) < 0.1).astype("uint8"),
}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS_OF_IMAGE)
def test_truncated_png(kind, share, tmp_path, rng):
    content = write_raster(tmp_path / "a.png", KINDS_OF_IMAGE[kind](rng)).read_bytes()
    # at least the header and not less than all of the picture: a reader that trusts the header
    # would give zeros for what is lost
    cut = 60 + int(share * (len(content) - 60 - 12))
    (tmp_path / "b.png").write_bytes(content[:cut])
    check_refused(tmp_path / "b.png")


def test_damaged_png(tmp_path, rng):
    content = bytearray(write_raster(tmp_path / "a.png", KINDS_OF_IMAGE["rgb"](rng)).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "b.png").write_bytes(content)
    check_refused(tmp_path / "b.png")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif"])
def test_other_truncated_files(suffix, share, tmp_path, rng):
    content = write_raster(tmp_path / f"a{suffix}", KINDS_OF_IMAGE["rgb"](rng)).read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(content[: int(share * len(content))])
    check_refused(tmp_path / f"b{suffix}")


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image\nbut two lines\n")
    (tmp_path / "folder.png").mkdir()
    for name in ("empty.png", "text.png", "folder.png"):
        check_refused(tmp_path / name)
    assert "no such file" in check_refused(tmp_path / "missing.png")


def test_complex_values_are_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.ones((2, 2), "complex64"))
    with pytest.raises(InputError, match="a.tif.*real"):
        read_raster(path)


# ---- georeference ------------------------------------------------------------------------------


def test_resolution_of_projected_rasters(tmp_path):
    values = np.ones((20, 10), "uint8")
    path = write_raster(
        tmp_path / "a.tif", values, crs="EPSG:32647", transform=from_origin(500_000, 3e6, 0.5, 2)
    )
    raster = read_raster(path)
    assert raster.resolution_m() == pytest.approx((2, 0.5))  # along y, along x
    # 10 columns of 0.5 m, 20 rows of 2 m, down from the top left corner
    assert raster.bounds == pytest.approx((500_000, 3e6 - 40, 500_005, 3e6))
    # feet of the US survey: 1200 / 3937 m
    path = write_raster(
        tmp_path / "b.tif", values, crs="EPSG:2263", transform=from_origin(0, 0, 10, 20)
    )
    assert read_raster(path).resolution_m() == pytest.approx((24000 / 3937, 12000 / 3937))


def test_resolution_of_geographic_rasters(tmp_path):
    # 10 rows of 0.001 degrees from 60.005 down: the centre is at 60 degrees north, where on the
    # WGS 84 ellipsoid a degree of latitude is 111 412 m and one of longitude 55 800 m
    path = write_raster(
        tmp_path / "a.tif",
        np.ones((10, 4), "uint8"),
        crs="EPSG:4326",
        transform=from_origin(10, 60.005, 0.001, 0.001),
    )
    along_y, along_x = read_raster(path).resolution_m()
    assert along_y == pytest.approx(111.412, abs=1e-3)
    assert along_x == pytest.approx(55.800, abs=1e-3)


def test_resolution_of_a_rotated_raster():
    # columns step 2 along a line 30 degrees off the x axis, rows 3 at a right angle to it
    cos, sin = math.sqrt(3) / 2, 0.5
    transform = Affine(2 * cos, 3 * sin, 100, 2 * sin, -3 * cos, 200)
    crs = rasterio.CRS.from_epsg(32647)
    raster = Raster(np.zeros((2, 4, 1)), np.ones((2, 4), bool), crs, transform)
    assert raster.resolution_m() == pytest.approx((3, 2))
    # corners: (0,0); 4 columns = 8 along (cos 30, sin 30); 2 rows = 6 along (sin 30, -cos 30)
    assert raster.bounds == pytest.approx((100, 200 - 6 * cos, 100 + 8 * cos + 6 * sin, 204))


def test_resolution_is_unknown_without_a_crs(tmp_path):
    path = write_raster(
        tmp_path / "a.tif", np.ones((2, 2), "uint8"), transform=from_origin(5, 5, 2, 2)
    )
    assert read_raster(path).resolution_m() is None
    assert read_raster(path).bounds == (5, 1, 9, 5)


def test_write_geotiff_keeps_the_georeference(tmp_path):
    like = read_raster(
        write_raster(
            tmp_path / "a.tif",
            np.ones((4, 6), "uint8"),
            crs="EPSG:32647",
            transform=from_origin(500_000, 3e6, 10, 10),
        )
    )
    values = np.linspace(0, 1, 24, dtype="float32").reshape(4, 6)
    values[0, 0] = -1
    write_geotiff(tmp_path / "out.tif", values, like, nodata=-1)
    raster = read_raster(tmp_path / "out.tif")
    np.testing.assert_array_equal(raster.values[..., 0], values)
    assert raster.crs == like.crs and raster.transform == like.transform
    assert not raster.valid[0, 0] and raster.valid.sum() == 23


def test_write_geotiff_leaves_nothing_when_it_fails(tmp_path):
    like = Raster(np.zeros((2, 2, 1)), np.ones((2, 2), bool))
    with contextlib.suppress(Exception):
        write_geotiff(tmp_path / "out.tif", np.zeros((2, 2), "datetime64[s]"), like)
    assert not list(tmp_path.iterdir())
