"""What a file's tags say about its numbers is done, or refused in one line."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.plausible import tile_warnings
from landslide_tf.data.raster import Raster, read_raster

PLACE = from_origin(500_000, 3_800_000, 10, 10)


def tagged(path, values, crs=None, nodata=None, **tags):
    write_raster(path, values, crs=crs, transform=PLACE, nodata=nodata)
    with rasterio.open(path, "r+") as file:
        for name, value in tags.items():
            setattr(file, name, value)
    return path


def refused(path, *parts, **options):
    with pytest.raises(InputError) as error:
        read_raster(path, **options)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for part in parts:
        assert part in message


# ---- scale, offset, units ----------------------------------------------------------------------


def test_scale_and_offset_of_a_dem(tmp_path):
    values = np.array([[0, 10, -32768]], "int16")
    path = tagged(tmp_path / "a.tif", values, nodata=-32768, scales=(0.1,), offsets=(100.0,))
    dem = read_raster(path, kind="dem")
    # 0 x 0.1 + 100, 10 x 0.1 + 100; the tag of no data is of the stored number
    np.testing.assert_allclose(dem.values[0, :2, 0], [100, 101])
    assert dem.valid.tolist() == [[True, True, False]]
    assert "0.1" in dem.notes[0] and "100" in dem.notes[0]
    # so is the option
    assert read_raster(path, kind="dem", nodata=10).valid.tolist() == [[True, False, False]]


def test_scale_of_an_image_by_band(tmp_path):
    values = np.full((1, 2, 3), (1000, 2000, 5000), "uint16")
    path = tagged(tmp_path / "a.tif", values, scales=(1e-4, 1e-4, 2e-4), offsets=(0.0, -0.1, 0.0))
    image = read_raster(path)
    assert image.values.dtype == np.float32
    np.testing.assert_allclose(image.values[0, 0], [0.1, 0.1, 1.0], rtol=1e-6)
    np.testing.assert_allclose(
        read_raster(path, bands=(3, 1, 2)).values[0, 0], [1.0, 0.1, 0.1], rtol=1e-6
    )


@pytest.mark.parametrize("scale", [0.0, np.nan])
def test_a_scale_that_cannot_be(scale, tmp_path):
    path = tagged(tmp_path / "a.tif", np.ones((2, 2), "int16"), scales=(scale,))
    if np.isnan(scale):  # which GDAL may not write
        with rasterio.open(path) as file:
            if file.scales == (1.0,):
                return
    refused(path, "scale", "gdal_edit", kind="dem")


@pytest.mark.parametrize(
    "unit, factor",
    [("metre", 1), ("", 1), ("ft", 0.3048), ("US survey foot", 1200 / 3937), ("cm", 0.01)],
)
def test_units_of_a_dem_by_its_band(unit, factor, tmp_path):
    path = tagged(tmp_path / "a.tif", np.full((2, 2), 1000.0), units=(unit,))
    dem = read_raster(path, kind="dem")
    np.testing.assert_allclose(dem.values, 1000 * factor)
    assert bool(dem.notes) == (factor != 1)
    # numbers of an image or a mask have no unit
    assert (read_raster(path).values == 1000).all()


@pytest.mark.parametrize(
    "crs, factor", [("EPSG:26911+6360", 1200 / 3937), ("EPSG:26911+5703", 1), ("EPSG:26911", 1)]
)
def test_units_of_a_dem_by_its_crs(crs, factor, tmp_path):
    path = tagged(tmp_path / "a.tif", np.full((2, 2), 1000.0), crs=CRS.from_string(crs))
    np.testing.assert_allclose(read_raster(path, kind="dem").values, 1000 * factor)


def test_coordinates_in_feet_leave_the_unit_of_elevation_open(tmp_path):
    values = np.full((2, 2), 1000.0)
    path = tagged(tmp_path / "a.tif", values, crs=CRS.from_epsg(2263))
    dem = read_raster(path, kind="dem")
    assert (dem.values == 1000).all() and "taken as metres" in dem.notes[0]
    assert dem.notes[0] in tile_warnings(Raster(dem.values, dem.valid), dem, None)
    path = tagged(tmp_path / "b.tif", values, crs=CRS.from_epsg(2263), units=("m",))
    assert read_raster(path, kind="dem").notes == ()


def test_units_that_are_unknown_or_contradict(tmp_path):
    path = tagged(tmp_path / "a.tif", np.ones((2, 2)), units=("fathoms",))
    refused(path, "fathoms", "gdal_edit -units m", kind="dem")
    feet = CRS.from_string("EPSG:26911+6360")
    path = tagged(tmp_path / "b.tif", np.ones((2, 2)), crs=feet, units=("m",))
    refused(path, "in m by", "US survey foot", kind="dem")


# ---- bands -------------------------------------------------------------------------------------


def test_an_alpha_band_that_is_named_is_a_band(tmp_path, rng):
    values = rng.integers(1, 256, (4, 5, 4)).astype("uint8")
    values[0, 0, 3] = 0  # near infrared, tagged as alpha
    path = tagged(
        tmp_path / "a.tif",
        values,
        colorinterp=[ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha],
    )
    image = read_raster(path, bands=(4, 1, 2))
    np.testing.assert_array_equal(image.values, values[..., [3, 0, 1]])
    assert image.valid.all()
    assert not read_raster(path).valid[0, 0]
    refused(path, "has 4 bands", bands=(5, 1, 2))


def test_bands_are_counted_as_in_the_file_where_alpha_comes_first(tmp_path, rng):
    values = rng.integers(1, 256, (4, 5, 4)).astype("uint8")
    values[0, 0, 0] = 0
    path = tagged(
        tmp_path / "a.tif",
        values,
        colorinterp=[ColorInterp.alpha, ColorInterp.red, ColorInterp.green, ColorInterp.blue],
    )
    np.testing.assert_array_equal(read_raster(path).values, values[..., 1:])
    image = read_raster(path, bands=(4, 3, 2))
    np.testing.assert_array_equal(image.values, values[..., [3, 2, 1]])
    assert not image.valid[0, 0] and image.valid.sum() == 19


def write_stack(path, sources):
    """A VRT of one band a file: each of its own type."""
    kinds = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32", "complex64": "CFloat32"}
    bands = ""
    for i, values in enumerate(sources, 1):
        write_raster(path.parent / f"{i}.tif", values)
        bands += (
            f'<VRTRasterBand dataType="{kinds[str(values.dtype)]}" band="{i}"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{i}.tif</SourceFilename><SourceBand>1</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
        )
    path.write_text(f'<VRTDataset rasterXSize="3" rasterYSize="2">{bands}</VRTDataset>')
    return path


def test_only_the_bands_asked_for_are_read(tmp_path):
    plain = [np.full((2, 3), n, "uint16") for n in (10, 20, 30)]
    broken = np.full((2, 3), np.nan, "float32")
    path = write_stack(tmp_path / "s.vrt", [broken, *plain, np.ones((2, 3), "complex64")])
    image = read_raster(path, bands=(4, 3, 2))
    assert image.values.dtype == np.uint16 and image.values[0, 0].tolist() == [30, 20, 10]
    assert image.valid.all()
    (tmp_path / "1.tif").unlink()
    assert read_raster(path, bands=(4, 3, 2)).valid.all()


def test_bands_of_different_types_are_refused_by_name(tmp_path):
    path = write_stack(
        tmp_path / "s.vrt", [np.ones((2, 3), kind) for kind in ("uint8", "uint8", "uint16")]
    )
    refused(path, "different types (uint16, uint8)", "gdal_translate -ot")


def test_several_no_data_values(tmp_path):
    values = np.array([[-9999, -32768, 7, 0]], "float32")
    path = write_raster(tmp_path / "a.tif", values, nodata=-9999)
    assert read_raster(path, nodata=(-32768, 0)).valid.tolist() == [[False, False, True, False]]
    # of three bands, a pixel of several marks is no data too
    values = np.array([[[0, 255, 0], [0, 255, 3]]], "uint8")
    path = write_raster(tmp_path / "b.tif", values)
    assert read_raster(path, nodata=(0, 255)).valid.tolist() == [[False, True]]


# ---- colours and orientation -------------------------------------------------------------------


def test_min_is_white_is_turned_in_an_image_and_refused_in_a_dem(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=1, width=2, count=1, dtype="uint8",
        photometric="MINISWHITE", transform=PLACE,
    ) as file:  # fmt: skip
        file.write(np.array([[0, 55]], "uint8"), 1)
    assert read_raster(tmp_path / "a.tif").values[..., 0].tolist() == [[255, 200]]
    refused(tmp_path / "a.tif", "MINISWHITE", "MINISBLACK", kind="dem")


def test_bands_of_a_colour_table(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], "uint8"), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert read_raster(path, bands=(3, 2, 1)).values[0, 1].tolist() == [60, 50, 40]
    refused(path, "3 bands", bands=(4, 1, 2))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation, suffix, tmp_path):
    from PIL import ImageOps

    blocks = np.array([[250, 10, 120], [60, 180, 30]], "uint8")
    image = Image.fromarray(np.kron(blocks, np.ones((16, 16), "uint8"))).convert("RGB")
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        image.save(path, tiffinfo={0x0112: orientation})
    else:
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif, quality=100)
    shown = np.array(ImageOps.exif_transpose(Image.open(path)), int)
    found = read_raster(path)
    assert found.values.shape == shown.shape and found.valid.shape == shown.shape[:2]
    assert np.abs(found.values.astype(int) - shown).max() <= 3


def test_a_file_with_a_place_is_not_turned(tmp_path):
    image = Image.fromarray(np.arange(6, dtype="uint8").reshape(2, 3))
    image.save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
    assert read_raster(tmp_path / "a.tif").size == (3, 2)
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n500000\n3000000\n")
    assert read_raster(tmp_path / "a.tif").size == (2, 3)


# ---- damage ------------------------------------------------------------------------------------


def test_more_bands_than_an_image_has_is_one_line(tmp_path):
    path = tmp_path / "many.vrt"
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{i + 1}"/>' for i in range(2001))
    path.write_text(f'<VRTDataset rasterXSize="2" rasterYSize="2">{bands}</VRTDataset>')
    refused(path, "has 2001 bands")


def test_more_pixels_than_memory_holds_is_one_line(tmp_path):
    path = tmp_path / "huge.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="2000000" rasterYSize="2000000">'
        '<VRTRasterBand dataType="Float64" band="1"/></VRTDataset>'
    )
    refused(path, "too large", "gdal_translate -srcwin")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.bmp"])
def test_a_file_cut_off_anywhere_is_one_line(name, tmp_path, rng):
    content = write_raster(
        tmp_path / name, rng.integers(0, 256, (40, 30, 3)).astype("uint8")
    ).read_bytes()
    whole = read_raster(tmp_path / name).values
    path = tmp_path / f"cut{name[1:]}"
    for end in np.linspace(0, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:end])
        try:  # what lacks nothing but the end mark may be read
            np.testing.assert_array_equal(read_raster(path).values, whole)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)


# ---- the order of colours ----------------------------------------------------------------------

BGR = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)


@pytest.mark.parametrize(
    "tags",
    [{"colorinterp": BGR}, {"descriptions": ("Blue", "green ", "RED")}],
)
def test_bands_tagged_or_called_by_colours_are_read_as_red_green_blue(tags, tmp_path):
    values = np.full((1, 2, 3), (1, 2, 3), "uint8")
    path = tagged(tmp_path / "a.tif", values, **tags)
    assert read_raster(path).values[0, 0].tolist() == [3, 2, 1]
    assert read_raster(path, bands=(1, 2, 3)).values[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "names, told",
    [
        (("B2", "B3", "B4"), True),
        (("B02_10m", "B03_10m", "B04_10m"), True),
        (("SR_B2", "SR_B3", "SR_B4"), True),
        (("B4", "B3", "B2"), False),
        (("Band 1", "Band 2", "Band 3"), False),
    ],
)
def test_bands_called_by_the_numbers_of_a_satellite_are_told(names, told, tmp_path):
    values = np.full((1, 2, 3), (1, 2, 3), "uint8")
    path = tagged(tmp_path / "a.tif", values, descriptions=names)
    image = read_raster(path)
    assert image.values[0, 0].tolist() == [1, 2, 3]  # Landsat 7 has other numbers
    assert [("--bands 3,2,1" in note, names[0] in note) for note in image.notes] == (
        [(True, True)] if told else []
    )
    assert read_raster(path, bands=(3, 2, 1)).notes == ()


# ---- no data in one band -----------------------------------------------------------------------


@pytest.mark.parametrize("tag", [-9999, -3.4028234663852886e38, 1e20])
def test_a_mark_that_no_brightness_has_is_no_data_in_any_band(tag, tmp_path):
    values = np.full((1, 3, 3), 0.5, "float32")
    values[0, 0, 1] = values[0, 1] = tag
    by_tag = read_raster(tagged(tmp_path / "a.tif", values, nodata=tag))
    by_option = read_raster(tagged(tmp_path / "b.tif", values), nodata=tag)
    for image in (by_tag, by_option):
        assert image.valid.tolist() == [[False, False, True]]


def test_a_number_that_is_a_colour_is_no_data_in_all_bands(tmp_path):
    values = np.array([[[0, 9, 9], [0, 0, 0], [9, 9, 9]]], "uint8")
    assert read_raster(tagged(tmp_path / "a.tif", values, nodata=0)).valid.tolist() == [
        [True, False, True]
    ]


# ---- what cannot be read by this GDAL ----------------------------------------------------------


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    page, preview = (Image.fromarray(np.zeros((n, n), "uint8")) for n in (8, 4))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, preview])
    refused(tmp_path / "a.tif", "holds 3 images (pages)", "gdal_translate GTIFF_DIR:1:a.tif")
    page.save(tmp_path / "c.tif", save_all=True, append_images=[preview, page])
    refused(tmp_path / "c.tif", "holds 3 images (pages)")
    page.save(tmp_path / "b.tif", save_all=True, append_images=[preview])
    assert read_raster(tmp_path / "b.tif").size == (8, 8)


def test_a_compression_that_is_not_known_is_no_damage(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((4, 4, 3), "uint8"))
    content = bytearray(path.read_bytes())
    at = content.index((259).to_bytes(2, "little") + (3).to_bytes(2, "little"))  # the tag
    content[at + 8 : at + 10] = (50002).to_bytes(2, "little")  # JPEG XL
    path.write_bytes(content)
    refused(path, "codec", "COMPRESS=DEFLATE")
