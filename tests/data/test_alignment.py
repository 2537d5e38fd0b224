"""Masks that are turned, mirrored or shifted against their images are noticed."""

import numpy as np
import pytest
from scipy import ndimage

from conftest import write_raster
from landslide_tf.data.alignment import (
    LEAST_TILES,
    SCENE_TILE_PX,
    WORDS,
    alignment_warnings,
    mask_fit,
    scene_alignment_warnings,
)
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.check import check_folder, format_report
from landslide_tf.data.index import find_samples
from landslide_tf.data.raster import Raster
from landslide_tf.data.tile_facts import look_at
from landslide_tf.inputs.spec import InputSpec

WAYS = {  # what was done to the mask, and what mends it
    "rot90": (lambda m: np.rot90(m), "turned to the right by 90 degrees"),
    "rot180": (lambda m: np.rot90(m, 2), "turned by 180 degrees"),
    "rot270": (lambda m: np.rot90(m, 3), "turned to the left by 90 degrees"),
    "fliplr": (np.fliplr, "mirrored left to right"),
    "flipud": (np.flipud, "mirrored top to bottom"),
    "transpose": (np.transpose, "with rows and columns exchanged"),
    "other diagonal": (lambda m: np.rot90(m, 2).T, "mirrored along their other diagonal"),
    # 8 of 64 pixels up and 6 to the right: the mask must go back
    "shift": (
        lambda m: np.roll(m, (-8, 6), (0, 1)),
        "shifted down by 12% of a tile and shifted left",
    ),
}


def pairs(count=40, side=64, seed=0, contrast=40):
    """Images of rough ground with a landslide of another brightness, and their masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    for _ in range(count):
        ground = ndimage.gaussian_filter(rng.normal(0, 60, (side, side)), 2) + 100
        cy, cx = rng.integers(side // 3, side // 2, 2)
        mask = ((y - cy) / rng.integers(5, 12)) ** 2 + ((x - cx) / rng.integers(5, 12)) ** 2 < 1
        image = ground + contrast * mask + rng.normal(0, 4, (side, side))
        yield np.repeat(image[..., None], 3, axis=-1).clip(1, 255), mask


def warnings(moved=lambda m: m, **options):
    fits = [
        mask_fit(image, moved(mask), np.ones(mask.shape, bool)) for image, mask in pairs(**options)
    ]
    return alignment_warnings(fits)


def test_masks_in_place_and_masks_of_nothing_give_no_warning():
    assert warnings() == []
    assert warnings(lambda m: np.roll(m, 2, 0)) == []  # not more exact than a hand that draws
    # no edge where the mask is: nothing fits anywhere better by more than chance
    assert [warnings(contrast=0, seed=seed) for seed in range(5)] == [[]] * 5
    assert warnings(np.rot90, count=LEAST_TILES - 1) == []  # too few to tell


@pytest.mark.parametrize("way", WAYS)
def test_what_was_done_to_the_masks_is_told_with_what_mends_it(way):
    moved, words = WAYS[way]
    (line,) = warnings(moved)
    assert words in line and "look misplaced: over 40 tiles" in line
    assert sum(word in line for word in WORDS if word) == (way != "shift")


def test_the_mean_strength_under_an_outline_by_hand():
    # One bright square of 16 pixels on black: after the blur the gradient is symmetric about the
    # square's sides. Put anywhere else the outline meets less of it.
    image = np.zeros((64, 64, 1))
    image[24:40, 20:36] = 200
    fits = mask_fit(image, image[..., 0] > 0, np.ones((64, 64), bool))
    assert fits.shape == (8, 33, 33)
    assert np.unravel_index(fits[0].argmax(), (33, 33)) == (16, 16)
    assert fits[0, 16, 16] > 2 and fits[0, 0, 0] < 0
    # a square turned by 90 degrees about the middle of the tile lies 12 rows lower, at 28 to 44
    # columns of 24 to 40: rot90 takes (row, column) to (63 - column, row)
    row, column = np.unravel_index(fits[1].argmax(), (33, 33))
    assert (row - 16, column - 16) == (24 - 28, 20 - 24)


def test_what_says_nothing():
    image = np.full((64, 64, 3), 90.0)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    known = np.ones((64, 64), bool)
    assert mask_fit(image, mask, known) is None  # flat
    image[::2] = 10
    assert mask_fit(image, mask & False, known) is None
    assert mask_fit(image, mask | True, known) is None
    assert mask_fit(image, mask, known & (np.arange(64) < 50)) is None  # a fifth is no data
    assert mask_fit(image, mask, known) is not None


@pytest.fixture
def folder(tmp_path):
    def write(moved):
        for i, (image, mask) in enumerate(pairs(LEAST_TILES + 4)):
            write_raster(tmp_path / f"landslide/image/{i:02}.png", image.astype("uint8"))
            write_raster(tmp_path / f"landslide/mask/{i:02}.png", moved(mask).astype("uint8"))
        return tmp_path

    return write


def test_check_and_train_tell_it_alike(folder):
    good = folder(lambda m: m)
    assert check_folder(good)["misplaced"] == []
    assert load_tiles(good, fusion="rgb", tile_px=64).warnings == ()
    bad = folder(np.fliplr)
    (line,) = load_tiles(bad, fusion="rgb", tile_px=64).warnings
    assert "mirrored left to right" in line
    text = format_report(check_folder(bad))
    assert "warning: the masks look misplaced" in text and "make the masks again" in text


def test_pixels_without_data_have_no_say(tmp_path):
    # The masks, on a grid twice as fine, say nothing of the right third of their images.
    known = np.ones((64, 64), bool)
    known[:, 43:] = False
    expected = []
    for i, (image, mask) in enumerate(pairs(3)):
        image, mask = image.astype("uint8"), mask.astype("uint8") * known
        expected.append(mask_fit(image, mask, known))
        fine = np.where(known, mask, 255).repeat(2, axis=0).repeat(2, axis=1)
        write_raster(tmp_path / f"landslide/image/{i}.png", image)
        write_raster(tmp_path / f"landslide/mask/{i}.tif", fine.astype("uint8"), nodata=255)
    looks = look_at(InputSpec(), [(sample, True) for sample in find_samples(tmp_path).samples])
    np.testing.assert_array_equal([look.fit for look in looks], expected)


def test_check_and_train_tell_exchanged_labels_alike(folder):
    bad = folder(lambda m: 255 * (np.asarray(m) == 0))
    (line,) = load_tiles(bad, fusion="rgb", tile_px=64).warnings
    assert "landslide and background are exchanged" in line
    text = format_report(check_folder(bad))
    assert f"warning: {line.split(';')[0]}" in text


@pytest.fixture(scope="module")
def scene():
    """A scene of 10 x 11 tiles, of which a third have a landslide, and its mask."""
    rng = np.random.default_rng(3)
    height, width = 10 * SCENE_TILE_PX, 11 * SCENE_TILE_PX
    image = ndimage.gaussian_filter(rng.normal(0, 120, (height, width)), 4) + 100
    mask = np.zeros(image.shape, bool)
    y, x = np.mgrid[:90, :90]
    for top, left in rng.integers(0, (height - 90, width - 90), (45, 2)):
        a, b = rng.integers(16, 44, 2)
        mask[top : top + 90, left : left + 90] |= ((y - 45) / a) ** 2 + ((x - 45) / b) ** 2 < 1
    image = image + 40 * mask + rng.normal(0, 4, image.shape)
    return image.clip(1, 255).astype("uint8")[..., None], mask


def scene_warnings(image, mask):
    def reader(values):
        def read(box):
            part = values[box[0] : box[2], box[1] : box[3]]
            return Raster(part, np.ones(part.shape[:2], bool))

        return read

    return scene_alignment_warnings(image.shape[:2], reader(image), reader(mask[..., None]))


@pytest.mark.parametrize("way", WAYS)
def test_the_mask_of_a_scene_turned_as_a_whole_or_shifted(way, scene):
    image, mask = scene
    moved, words = WAYS[way]
    if way == "shift":  # 16 pixels of a tile of 128 up and 32 to the left
        moved, words = lambda m: np.roll(m, (-16, -32), (0, 1)), "shifted down by 12% of a tile"
    if moved(mask).shape != mask.shape:  # rows and columns change places in square scenes alone
        image, mask = image[:, : len(image)], mask[:, : len(mask)]
    (line,) = scene_warnings(image, moved(mask))
    assert "the masks look misplaced: over" in line and words in line


def test_the_mask_of_a_scene_in_place_gives_no_warning(scene, rng):
    image, mask = scene
    assert scene_warnings(image, mask) == []
    assert scene_warnings(image[:256], mask[:256]) == []  # few tiles
    noise = rng.integers(0, 255, image.shape).astype("uint8")  # a mask that fits nowhere
    assert scene_warnings(noise, mask) == []
    assert scene_warnings(image, np.zeros_like(mask)) == []


@pytest.mark.data
@pytest.mark.parametrize("name", ["bijie-rgb", "jinsha", "mmls-v2"])
def test_real_masks_are_in_place(name, real_data):
    tiles = load_tiles(real_data / name, fusion="rgb", tile_px=64)
    assert not any("misplaced" in line for line in tiles.warnings)
    known = np.ones((64, 64), bool)
    chosen = range(0, len(tiles), -(-len(tiles) // 400))
    for moved, words in WAYS.values():
        fits = [mask_fit(tiles.rgb[i], moved(tiles.mask[i]), known) for i in chosen]
        (line,) = alignment_warnings(fits)
        assert words.split(" by 12%")[0] in line
