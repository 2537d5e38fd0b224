"""The report on a folder counts what is there and names what is wrong; also for the real sets."""

import numpy as np
import pytest
from rasterio.transform import from_origin
from scipy import ndimage

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.check import check_folder, format_report
from landslide_tf.data.index import find_samples
from landslide_tf.data.near_duplicates import near_duplicates
from landslide_tf.inputs import InputSpec

# ---- near-duplicates ---------------------------------------------------------------------------


def test_all_orientations_and_changes_of_light_are_found(rng):
    base = rng.random((8, 8))
    alike = [np.rot90(m, k) for m in (base, base.T) for k in range(4)]
    thumbnails = [0.3 * m + 0.1 * i for i, m in enumerate(alike)]
    names = [f"t{i}" for i in range(8)]
    found = near_duplicates([*names, "other"], np.array([*thumbnails, rng.random((8, 8))]))
    assert found == [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]


@pytest.mark.parametrize("noise, alike", [(0.1, True), (0.5, False)])
def test_likeness_is_a_correlation_of_more_than_97_percent(noise, alike, rng):
    # noise of n deviations: correlation 1 / sqrt(1 + n^2) = 0.995 and 0.894
    base = rng.standard_normal((32, 32))
    noisy = base + noise * rng.standard_normal((32, 32))
    assert np.corrcoef(base.ravel(), noisy.ravel())[0, 1] == pytest.approx(
        1 / np.sqrt(1 + noise**2), abs=0.02
    )
    found = near_duplicates(["a", "b"], np.array([base, noisy]))
    assert found == ([("a", "b")] if alike else [])


def test_inverted_and_flat_tiles_are_no_duplicates(rng):
    base = ndimage.gaussian_filter(rng.random((8, 8)), 1)
    flat = np.full((8, 8), 0.5) + 1e-6 * rng.random((8, 8))
    assert near_duplicates(["a", "b", "c", "d"], np.array([base, 1 - base, flat, flat])) == []
    assert near_duplicates(["c"], flat[None]) == []  # no tile is left to compare


def test_pairs_are_found_across_blocks_of_the_table(rng, monkeypatch):
    monkeypatch.setattr("landslide_tf.data.near_duplicates.CHUNK", 3)
    thumbnails = rng.random((11, 8, 8))
    thumbnails[9] = np.rot90(thumbnails[1])
    thumbnails[5] = thumbnails[4][:, ::-1]
    names = [str(i) for i in range(11)]
    assert near_duplicates(names, thumbnails) == [("1", "9"), ("4", "5")]


# ---- a folder with one defect of each kind -------------------------------------------------------


@pytest.fixture
def folder(tmp_path, rng):
    def tile(name, mask, size=(32, 32), dem=True, image=None, suffix=".png", **place):
        image = rng.integers(1, 256, (*size, 3)).astype("uint8") if image is None else image
        base = tmp_path / "wrapped/landslide"
        write_raster(base / f"image/{name}{suffix}", image, **place)
        write_raster(base / f"mask/{name}.png", np.broadcast_to(mask, image.shape[:2]))
        if dem:
            write_raster(
                base / f"dem/{name}.tif", np.full((size[0] // 4, size[1] // 4), 700, "int16")
            )
        return image

    half = np.zeros((32, 32), "uint8")
    half[:16] = 255
    image = tile("a_half", half)
    tile("b_same", half, image=image[::-1], dem=False)  # the first, flipped
    tile("c_empty", np.uint8(0), size=(64, 96))
    tile(
        "d_placed",
        np.uint8(1),
        size=(16, 16),
        suffix=".tif",
        crs="EPSG:32647",
        transform=from_origin(0, 0, 1, 1),
    )
    tile("e_values", np.uint8(3))
    tile("f_torn", np.uint8(0))
    torn = tmp_path / "wrapped/landslide/image/f_torn.png"
    torn.write_bytes(torn.read_bytes()[:50])
    write_raster(tmp_path / "wrapped/landslide/image/g_alone.png", image)
    write_raster(tmp_path / "wrapped/non-landslide/image/n1.png", image // 2 + 9)
    return tmp_path


def test_report_of_a_folder_with_one_defect_of_each_kind(folder):
    report = check_folder(folder)
    assert report["root"] == str(folder / "wrapped")
    # a to f pair; the negative is counted on its own
    assert (report["landslide_tiles"], report["negative_tiles"]) == (6, 1)
    assert report["with_dem"] == 5 and report["georeferenced"] == 1
    assert report["crs"] == {"WGS 84 / UTM zone 47N": 1}
    assert report["resolution_m"] == pytest.approx([1, 1], rel=1e-2)
    assert report["unpaired"] == ["landslide/image/g_alone.png: has no mask"]
    assert len(report["unreadable"]) == 2
    assert "e_values.png" in report["unreadable"][0] and "found 3" in report["unreadable"][0]
    assert "f_torn.png" in report["unreadable"][1]
    assert ("a_half", "b_same") in report["near_duplicates"]
    assert report["empty_masks"] == 1
    # masks that can be used: 1/2, 1/2, 0 and 1
    assert report["positive_share_mean"] == pytest.approx(0.5)
    # 512 + 512 + 0 + 256 of 1024 + 1024 + 6144 + 256 pixels
    assert report["positive_share_pooled"] == pytest.approx(1280 / 8448)
    image, dem = report["rasters"]["image"], report["rasters"]["dem"]
    assert image["files"] == 5 and image["types"] == {"uint8 x 3": 5}
    assert image["height_px"] == [16, 64] and image["width_px"] == [16, 96]
    assert dem["files"] == 3 and dem["types"] == {"int16 x 1": 3}
    assert dem["values"] == [700, 700] and dem["valid_share"] == 1


def test_report_as_text(folder):
    text = format_report(check_folder(folder))
    assert "6 landslide tiles, 1 without landslide, 5 with a DEM, 1 georeferenced" in text
    assert (
        "16 to 64 x 16 to 96 px" in text and "50.0% of a tile" in text and "1 masks empty" in text
    )
    assert "ground WGS 84 / UTM zone 47N (1); 1 m a pixel" in text
    for name in ("g_alone.png", "e_values.png", "f_torn.png", "a_half ~ b_same"):
        assert name in text


def test_report_counts_no_data(tmp_path):
    image = np.full((20, 20, 3), 9, "uint8")
    image[:5] = 0
    write_raster(tmp_path / "landslide/image/a.png", image)
    write_raster(tmp_path / "landslide/mask/a.png", np.eye(20, dtype="uint8"))
    report = check_folder(tmp_path, nodata=0)
    assert report["rasters"]["image"]["valid_share"] == 0.75
    assert report["rasters"]["image"]["values"] == [9, 9]
    # the option is not for masks
    assert report["rasters"]["mask"]["valid_share"] == 1
    assert report["positive_share_mean"] == pytest.approx(0.05)
    assert check_folder(tmp_path)["rasters"]["image"]["values"] == [0, 9]
    assert report["unpaired"] == report["unreadable"] == report["near_duplicates"] == []


def test_report_of_nothing(tmp_path):
    with pytest.raises(InputError, match="holds no tiles"):
        check_folder(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        check_folder(tmp_path / "missing")


def test_files_passed_over_are_named(folder):
    (folder / "wrapped/landslide/image/a_half.heic").touch()
    (folder / "wrapped/landslide/dem/notes").mkdir()
    (folder / "wrapped/landslide/image/Thumbs.db").touch()  # nobody misses it
    report = check_folder(folder)
    assert len(report["passed_over"]) == 2
    text = format_report(report)
    assert "note: 2 files are passed over" in text
    assert "a_half.heic: is of a format (.heic) that is not read" in text
    assert "dem/notes: is a folder that is not read" in text


def test_processes_tell_what_threads_tell(folder, monkeypatch):
    monkeypatch.setattr("landslide_tf.data.check.MANY", 1)
    assert format_report(check_folder(folder, processes=2)) == format_report(check_folder(folder))


def test_thumbnails_beyond_a_little_memory_go_to_a_file(folder, monkeypatch):
    expected = check_folder(folder)
    monkeypatch.setattr("landslide_tf.data.check.MEMORY_BYTES", 1)
    assert check_folder(folder) == expected
    assert ("a_half", "b_same") in expected["near_duplicates"]


def test_of_copies_one_is_compared(tmp_path, rng):
    image = rng.integers(1, 256, (32, 32, 3)).astype("uint8")
    for name in "abc":
        write_raster(tmp_path / f"landslide/image/{name}.png", image)
        write_raster(tmp_path / f"landslide/mask/{name}.png", np.eye(32, dtype="uint8"))
    report = check_folder(tmp_path)
    assert report["copies"] == [["a", "b", "c"]] and report["near_duplicates"] == []


def test_a_report_without_a_usable_mask_says_no_share(tmp_path, rng):
    image = rng.integers(1, 256, (32, 32, 3)).astype("uint8")
    write_raster(tmp_path / "landslide/image/a.png", image)
    write_raster(tmp_path / "landslide/mask/a.png", np.full((32, 32), 3, "uint8"))
    text = format_report(check_folder(tmp_path))
    assert "nan" not in text and "error: 1 tile cannot be used" in text


# ---- the real sets: what the README beside them says ------------------------------------------


@pytest.mark.data
def test_bijie(real_data):
    report = check_folder(real_data / "bijie-rgb")
    assert (report["landslide_tiles"], report["negative_tiles"]) == (770, 167)
    assert report["with_dem"] == 0 and report["georeferenced"] == 0
    assert report["unpaired"] == report["unreadable"] == []
    assert report["empty_masks"] == 0
    assert report["positive_share_mean"] == pytest.approx(0.101, abs=5e-4)
    assert report["positive_share_pooled"] == pytest.approx(0.144, abs=5e-4)
    assert report["rasters"]["mask"]["values"] == [0, 1]  # 255 in the files
    sides = [
        side
        for sample in find_samples(real_data / "bijie-rgb", negatives=True).samples
        for side in _size(sample.image)
    ]
    assert (min(sides), max(sides)) == (61, 1239)
    tiles = load_tiles(real_data / "bijie-rgb", InputSpec(fusion="rgb"), negatives=True)
    assert tiles.rgb.shape == (937, 128, 128, 3) and tiles.negative.sum() == 167
    # nearest neighbour keeps the share
    assert tiles.mask[~tiles.negative].mean() == pytest.approx(0.101, abs=1e-3)


def _size(path):
    from landslide_tf.data.raster import read_raster

    return read_raster(path).size


@pytest.mark.data
def test_jinsha(real_data):
    report = check_folder(real_data / "jinsha", nodata=0)
    assert report["landslide_tiles"] == report["with_dem"] == report["georeferenced"] == 378
    assert report["unpaired"] == report["unreadable"] == []
    assert report["empty_masks"] == 378 - 189
    for kind in ("image", "dem", "mask"):
        assert report["rasters"][kind]["height_px"] == [128, 128]
    names = [sample.name for sample in find_samples(real_data / "jinsha").samples]
    assert sum(name.startswith("A_") for name in names) == 152
    assert sum(name.startswith("B_") for name in names) == 226
    tiles = load_tiles(real_data / "jinsha", InputSpec(nodata=0))
    assert len(tiles) == 378 and tiles.has_dem.all() and np.isfinite(tiles.place).all()
    # tiles of 128 px of 0.5 m
    np.testing.assert_allclose(tiles.place[:, 2], 64, rtol=1e-3)


@pytest.mark.data
def test_mars(real_data):
    report = check_folder(real_data / "mmls-v2")
    assert report["landslide_tiles"] == report["with_dem"] == 465
    assert report["unpaired"] == report["unreadable"] == []
    assert report["empty_masks"] == 0
    assert report["positive_share_pooled"] == pytest.approx(0.354, abs=5e-4)
    assert report["rasters"]["dem"]["values"] == [-5834, 6988]
    tiles = load_tiles(real_data / "mmls-v2")
    assert tiles.valid.shape == (465, 128, 128) and tiles.mask.any(axis=(1, 2)).all()


def test_a_folder_without_one_usable_tile_is_reported(tmp_path):
    for name in ("a", "b"):
        write_raster(tmp_path / f"landslide/image/{name}.png", np.ones((8, 8, 3), "uint8"))
        write_raster(tmp_path / f"landslide/mask/{name}.png", np.full((8, 8), 7, "uint8"))
    report = check_folder(tmp_path)
    assert len(report["unreadable"]) == 2 and report["near_duplicates"] == []
