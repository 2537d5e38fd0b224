"""What a mask's numbers mean: exactly what is drawn, or a refusal with the repair."""

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data import labels as module
from landslide_tf.data.labels import read_mask
from landslide_tf.data.tile_rules import check_mask

LANDSLIDE = np.zeros((6, 8), bool)
LANDSLIDE[1:3, 2:5] = True
PLACE = from_origin(0, 6, 1, 1)


def labels(path):
    """0 and 1, and -1 where it is not known."""
    mask = check_mask(read_mask(path), path)
    return np.where(mask.valid, mask.values[..., 0].astype(int), -1)


def refused(path, *parts):
    with pytest.raises(InputError) as error:
        labels(path)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for part in parts:
        assert part in message


def write_png(path, index, palette, **options):
    image = Image.fromarray(index.astype("uint8"), "P")
    image.putpalette([number for colour in palette for number in colour])
    image.save(path, **options)
    return path


BLACK, WHITE, RED, GREY = (0, 0, 0), (255, 255, 255), (200, 0, 0), (90, 90, 90)

# ---- nodata tags -------------------------------------------------------------------------------


@pytest.mark.parametrize("tag, name", [(0, "background"), (1, "landslide")])
@pytest.mark.parametrize("high", [1, 255])
def test_a_label_that_is_tagged_as_no_data_is_refused(tag, name, high, tmp_path):
    path = write_raster(tmp_path / "m.tif", high * LANDSLIDE.astype("uint8"), nodata=tag)
    refused(path, f"says that {tag} is no data", name, "gdal_edit -unsetnodata")


def test_255_is_no_data_beside_1_and_refused_without(tmp_path):
    values = LANDSLIDE.astype("uint8")
    values[5] = 255
    path = write_raster(tmp_path / "m.tif", values, nodata=255)
    assert (labels(path)[:5] == LANDSLIDE[:5]).all() and (labels(path)[5] == -1).all()
    path = write_raster(tmp_path / "lost.tif", 255 * LANDSLIDE.astype("uint8"), nodata=255)
    refused(path, "255 is no data", "no pixel is 1", "gdal_edit -unsetnodata")
    path = write_raster(tmp_path / "empty.tif", 0 * values, nodata=255)
    assert (labels(path) == 0).all()


def test_a_tag_of_another_number_and_nan_mean_not_known(tmp_path):
    values = LANDSLIDE.astype("float32")
    values[5, :4], values[5, 4:] = 9, np.nan
    path = write_raster(tmp_path / "m.tif", values, nodata=9)
    assert (labels(path)[:5] == LANDSLIDE[:5]).all() and (labels(path)[5] == -1).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_grey_of_a_png_is_refused(mode, tmp_path):
    image = Image.fromarray(255 * LANDSLIDE.astype("uint8")).convert(mode)
    image.save(tmp_path / "m.png", transparency=0 if mode == "L" else (0, 0, 0))
    refused(tmp_path / "m.png", "0 is no data")


@pytest.mark.parametrize("tag, dtype", [(255, "uint8"), (-9999, "float32"), (np.nan, "float32"),
                                        (None, "float32"), (15, "uint8")])  # fmt: skip
def test_landslides_on_a_ground_of_no_data_are_refused(tag, dtype, tmp_path):
    """As ArcGIS makes a raster of polygons."""
    ground = np.nan if tag is None else tag
    shape = LANDSLIDE.copy()
    path = write_raster(tmp_path / "one.tif", np.where(shape, 1, ground).astype(dtype), nodata=tag)
    refused(path, "all that is known of it is landslide")  # one rectangle
    shape[4, 7] = True
    path = write_raster(tmp_path / "m.tif", np.where(shape, 1, ground).astype(dtype), nodata=tag)
    refused(path, "all that is known of it is landslide", "write 0 there")
    # one pixel of background tells that the rest is not known
    values = np.where(shape, 1, ground)
    values[0, 0] = 0
    path = write_raster(tmp_path / "m.tif", values.astype(dtype), nodata=tag)
    found = labels(path)
    assert (found == np.where(shape, 1, -1) + (values == 0)).all()


def test_a_tile_within_a_landslide_at_the_rim_of_what_is_known(tmp_path):
    values = np.full((6, 8), 255, "uint8")
    values[:4, :5] = 1
    path = write_raster(tmp_path / "m.tif", values, nodata=255)
    assert (labels(path) == np.where(values == 1, 1, -1)).all()


# ---- transparency ------------------------------------------------------------------------------


def test_alpha_that_hides_nothing_is_taken_off(tmp_path):
    values = np.dstack([255 * LANDSLIDE.astype("uint8"), np.full(LANDSLIDE.shape, 255, "uint8")])
    Image.fromarray(values, "LA").save(tmp_path / "m.png")
    assert (labels(tmp_path / "m.png") == LANDSLIDE).all()


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_landslides_cut_out_on_a_transparent_ground_are_refused(background, mode, tmp_path):
    grey = np.where(LANDSLIDE, 255, background).astype("uint8")
    alpha = 255 * LANDSLIDE.astype("uint8")
    Image.fromarray(np.dstack([grey, alpha]), "LA").convert(mode).save(tmp_path / "m.png")
    refused(tmp_path / "m.png", "alpha band", "plain grey")


def test_a_mask_within_the_file_is_refused(tmp_path):
    path = write_raster(tmp_path / "m.tif", LANDSLIDE.astype("uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_mask(LANDSLIDE)
    refused(path, "a mask within the file")
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.ones(LANDSLIDE.shape, bool))
    assert (labels(path) == LANDSLIDE).all()


@pytest.mark.parametrize("alpha", [bytes([0, 255]), bytes([128, 255])])
def test_a_transparent_colour_is_refused(alpha, tmp_path):
    refused(
        write_png(tmp_path / "m.png", LANDSLIDE, [BLACK, WHITE], transparency=alpha), "transparen"
    )


def test_one_transparent_colour_is_a_nodata_tag_to_gdal_and_refused_too(tmp_path):
    refused(write_png(tmp_path / "m.png", LANDSLIDE, [BLACK, WHITE], transparency=0), "is no data")


# ---- colours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index, palette",
    [
        (LANDSLIDE, [BLACK, WHITE]),
        (~LANDSLIDE, [WHITE, BLACK]),  # pngquant orders colours as it likes
        (LANDSLIDE + 1, [RED, BLACK, WHITE]),  # 0 is not used, but it is no colour of a mask
        (LANDSLIDE, [BLACK, RED]),  # as labelling programs write
        (LANDSLIDE, [GREY, WHITE]),
        (255 * LANDSLIDE, [BLACK, RED, *[BLACK] * 253, RED]),
    ],
)
def test_colour_tables_mean_what_they_show(index, palette, tmp_path):
    path = write_png(tmp_path / "m.png", index, palette)
    if palette[0] == RED:
        refused(path, "colour table")
    else:
        assert (labels(path) == LANDSLIDE).all()


@pytest.mark.parametrize("palette", [[WHITE, RED], [RED, BLACK], [RED, RED], [GREY, BLACK]])
def test_colour_tables_that_leave_it_open_are_refused(palette, tmp_path):
    refused(write_png(tmp_path / "m.png", LANDSLIDE, palette), "colour table", "plain grey")


def test_a_table_is_judged_by_its_first_two_colours_where_one_is_not_used(tmp_path):
    nothing = np.zeros((4, 4))
    assert (labels(write_png(tmp_path / "a.png", nothing, [BLACK, WHITE])) == 0).all()
    assert (labels(write_png(tmp_path / "b.png", nothing, [WHITE, BLACK])) == 1).all()
    # a white ground with red landslides elsewhere in the set: not all landslide here
    refused(write_png(tmp_path / "c.png", nothing, [WHITE, RED]), "colour table")
    refused(write_png(tmp_path / "d.png", nothing, [WHITE]), "colour table")
    assert (labels(write_png(tmp_path / "e.png", nothing, [BLACK, RED])) == 0).all()


@pytest.mark.parametrize("colours", [{0: WHITE, 255: RED}, {0: WHITE, 1: RED}])
def test_the_full_table_of_a_tiff_is_no_reason_to_take_a_white_ground_for_landslide(
    colours, tmp_path
):
    path = write_raster(tmp_path / "m.tif", np.zeros((4, 4), "uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, colours)  # the other 254 become black
    refused(path, "colour table")


@pytest.mark.parametrize("bits, high", [(1, 1), (2, 3), (8, 255)])
def test_min_is_white(bits, high, tmp_path):
    values = np.where(LANDSLIDE, 0, high).astype("uint8")
    profile = {"driver": "GTiff", "height": 6, "width": 8, "count": 1, "dtype": "uint8"}
    path = tmp_path / "m.tif"
    options = {"nbits": bits, "photometric": "MINISWHITE"}
    with rasterio.open(path, "w", transform=PLACE, **profile, **options) as file:
        file.write(values, 1)
    assert (labels(path) == LANDSLIDE).all()
    if bits == 8:  # 1 is nearly white, as 0 is
        with rasterio.open(path, "w", transform=PLACE, **profile, **options) as file:
            file.write(LANDSLIDE.astype("uint8"), 1)
        refused(path, "MINISWHITE")


def test_a_scaled_mask_is_refused(tmp_path):
    path = write_raster(tmp_path / "m.tif", LANDSLIDE.astype("uint8"))
    with rasterio.open(path, "r+") as file:
        file.scales = (255.0,)
    refused(path, "scale")


def test_a_jpeg_turned_by_its_exif_tag_is_upright(tmp_path):
    grey = np.zeros((16, 24), "uint8")
    grey[:8] = 255  # one block of JPEG: no rounding
    image = Image.fromarray(grey)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    image.save(tmp_path / "m.jpg", exif=exif, quality=100)
    shown = labels(tmp_path / "m.jpg")
    assert shown.shape == (24, 16)
    assert (shown == (np.rot90(grey, -1) > 0)).all()


# ---- any combination ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["plain", "white", "table", "rgb"]),
    st.sampled_from([1, 255]),
    st.sampled_from([None, 0, 1, 254, 255]),
    st.sampled_from([None, "alpha", "hidden"]),
    st.lists(st.sampled_from([BLACK, WHITE, RED, GREY]), min_size=2, max_size=2),
    st.booleans(),
    st.sampled_from(["some", "all", "none"]),
)
def test_any_tags_give_the_drawn_labels_or_a_refusal(
    tmp_path, kind, high, tag, hide, colours, swapped, share
):
    landslide = {"some": LANDSLIDE, "all": LANDSLIDE | True, "none": LANDSLIDE & False}[share]
    numbers = high * (landslide ^ swapped).astype("uint8")
    bands = np.dstack([numbers] * (3 if kind == "rgb" else 1))
    visible = np.ones(landslide.shape, bool)
    visible[:, 5:] = hide is None
    if hide == "alpha":
        bands = np.dstack([bands, 255 * visible.astype("uint8")])
    path = tmp_path / "m.tif"
    options = {"white": {"photometric": "MINISWHITE"}, "rgb": {"photometric": "RGB"}}.get(kind, {})
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", height=6, width=8, count=bands.shape[2], dtype="uint8",
            nodata=tag, transform=PLACE, **options,
        ) as file,
    ):  # fmt: skip
        if hide == "alpha":
            file.colorinterp = [*file.colorinterp[:-1], ColorInterp.alpha]
        if kind == "table" and hide != "alpha":
            file.write_colormap(1, {0: colours[0], high: colours[1]})
        file.write(np.moveaxis(bands, -1, 0))
        if hide == "hidden":
            file.write_mask(visible)
    try:
        found = labels(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    # Pillow draws it, as an independent viewer
    drawn = np.array(Image.open(path).convert("RGB"), int) @ (299, 587, 114)
    known = found >= 0
    assert (known == (numbers != (-1 if tag is None else tag))).all()
    assert hide is None or known.all()
    if (found == 1).any() and (found == 0).any():
        assert drawn[found == 1].min() > drawn[found == 0].max()
    elif kind == "table" and hide != "alpha" and set(colours) <= {BLACK, WHITE} or kind == "white":
        assert ((found == 1) == (drawn > 0))[known].all()
    else:  # of one class: the numbers
        assert ((found == 1) == (numbers > 0))[known].all()


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_a_mask_in_one_colour_is_told_the_band_that_has_it(colour, tmp_path):
    values = np.zeros((8, 8, 3), "uint8")
    values[2:4, 2:4, colour] = 255
    path = write_raster(tmp_path / "a.png", values)
    with pytest.raises(InputError, match=rf"gdal_translate -b {colour + 1}\)"):
        check_mask(read_mask(path), path)


def test_a_fraction_as_tag_hides_the_number_below_it(tmp_path):
    # GDAL compares whole numbers with 0.5 as with 0
    labels = np.zeros((8, 8), "uint8")
    labels[2:4, 2:4] = 1
    path = tmp_path / "a.tif"
    Image.fromarray(labels).save(path, tiffinfo={42113: "0.5"})
    with pytest.raises(InputError, match="all that is known of it is landslide"):
        read_mask(path)


def test_a_raster_of_many_numbers_is_not_read_to_its_end(tmp_path, monkeypatch):
    values = np.linspace(0.1, 0.9, 4000, dtype="float32").reshape(40, 100)  # without any 0
    path, read = write_raster(tmp_path / "probability.tif", values), []

    def window(file, part, **options):
        read.append(part)
        return real(file, part, **options)

    real = module.read_window
    monkeypatch.setattr(module, "read_window", window)
    monkeypatch.setattr(module, "STRIP_PX", 1000)  # ten rows
    with rasterio.open(path) as file:
        assert module.label_numbers(file) is None  # check_mask refuses its values
    assert len(read) == 1
