"""The demo data: scenes that need the elevation model, written in Bijie's layout."""

import os

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from scipy import ndimage

from landslide_tf.checks import InputError
from landslide_tf.data.demo import demo_folder, demo_scene, landforms, write, write_demo
from landslide_tf.data.demo.scene import make_scene

SIZE = 256


@pytest.fixture(scope="module")
def made():
    """Scenes with their bare fields."""
    return [make_scene(SIZE, seed, 10.0) for seed in (0, 1)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new" / "data"
    count = write_demo(folder, seed=4, scenes=2, scene_px=200, tile_px=48, negatives=3)
    return folder, count


def slope_degrees(dem, resolution=10.0):
    gy, gx = np.gradient(ndimage.gaussian_filter(dem.astype(float), 3), resolution)
    return np.degrees(np.arctan(np.hypot(gy, gx)))


def test_scene_shapes_types_and_values(made):
    for scene, _ in made:
        assert scene.image.shape == (SIZE, SIZE, 3) and scene.image.dtype == np.uint8
        assert scene.dem.shape == (SIZE, SIZE) and scene.dem.dtype == np.float32
        assert scene.mask.shape == (SIZE, SIZE) and scene.mask.dtype == np.uint8
        assert set(np.unique(scene.mask)) == {0, 1}
        assert 0.05 < scene.mask.mean() < 0.15
        assert scene.image.std() > 15 and 60 < scene.image.mean() < 160
        assert scene.dem.min() > 0 and 100 < np.ptp(scene.dem) < 2000


def test_scene_is_fixed_by_its_seed(made):
    np.random.seed(99)  # noqa: NPY002 - the global state must not matter
    again, other = demo_scene(SIZE, 0), made[1][0]
    for a, b, c in zip(made[0][0], again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_scene_leaves_the_global_random_state_alone():
    np.random.seed(7)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - as above
    demo_scene(64, 0)
    after = np.random.get_state()[1]  # noqa: NPY002 - as above
    np.testing.assert_array_equal(before, after)


def test_slopes_do_not_depend_on_the_pixel_size():
    fine, coarse = demo_scene(96, 2, 2.0), demo_scene(96, 2, 10.0)
    np.testing.assert_array_equal(fine.mask, coarse.mask)
    np.testing.assert_allclose(slope_degrees(fine.dem, 2.0), slope_degrees(coarse.dem), atol=0.1)


def test_landslides_are_steep_and_bare_fields_are_gentle(made):
    for scene, fields in made:
        slope, slides = slope_degrees(scene.dem), scene.mask > 0
        assert not (slides & fields).any()
        assert slope[slides].mean() > slope[~slides].mean() + 6
        assert slope[slides].mean() > slope[fields].mean() + 12
        assert np.percentile(slope[fields], 90) < 20


def test_bare_fields_have_the_colours_of_landslides(made):
    slides = np.concatenate([scene.image[scene.mask > 0] for scene, _ in made]).astype(float)
    fields = np.concatenate([scene.image[bare] for scene, bare in made]).astype(float)
    other = np.concatenate([s.image[(s.mask == 0) & ~bare] for s, bare in made]).astype(float)
    gap = np.abs(slides.mean(0) - fields.mean(0)) / slides.std(0)
    assert (gap < 0.5).all()
    assert (np.abs(slides.mean(0) - other.mean(0)) / other.std(0)).max() > 1


def test_landslides_run_downhill(made):
    """The long axis of a landslide lies along the slope, which drops along it."""
    aligned, drops = [], []
    for scene, _ in made:
        smooth = ndimage.gaussian_filter(scene.dem.astype(float), 3)
        labels, count = ndimage.label(scene.mask)
        for k in range(1, count + 1):
            points = np.argwhere(labels == k)
            if len(points) < 150:
                continue
            centred = points - points.mean(0)
            variance, axes = np.linalg.eigh(centred.T @ centred / len(points))
            if variance[1] < 4 * variance[0]:
                continue  # bent, or several that touch: it has no single axis
            along, height = centred @ axes[:, 1], smooth[tuple(points.T)]
            aligned.append(abs(np.corrcoef(along, height)[0, 1]))
            drops.append(np.ptp(height) / (10 * np.ptp(along)))
    assert len(aligned) >= 8
    assert np.median(aligned) > 0.9
    assert np.median(drops) > np.tan(np.radians(15))


def test_landslides_leave_a_hollow_and_a_deposit(monkeypatch):
    scene = demo_scene(128, 5)
    place = landforms.place_landslides

    def untouched(*args):
        labels, change = place(*args)
        assert change.min() < -2 and 0.5 < change.max() < 3
        assert not change[labels == 0].any()
        dem = args[1]
        for k in range(1, labels.max() + 1):
            part = np.where(labels == k, change, 0)
            assert dem.flat[part.argmin()] > dem.flat[part.argmax()] + 20  # head above toe
        return labels, np.zeros_like(change)

    monkeypatch.setattr("landslide_tf.data.demo.scene.place_landslides", untouched)
    before = demo_scene(128, 5)
    np.testing.assert_array_equal(scene.mask, before.mask)
    change = scene.dem - before.dem
    assert np.abs(change[scene.mask == 0]).max() < 1e-3
    assert change[scene.mask > 0].min() < -2


@pytest.mark.parametrize(
    "arguments",
    [dict(size_px=32), dict(seed=-1), dict(resolution_m=0), dict(resolution_m=float("nan"))],
)
def test_scene_refuses_bad_arguments(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        demo_scene(**arguments)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_written_layout(written):
    folder, count = written
    assert names(folder) == ["landslide", "non-landslide"]
    slides, others = folder / "landslide", folder / "non-landslide"
    assert names(slides) == ["dem", "image", "mask"] and names(others) == ["dem", "image"]
    assert count == len(names(slides / "mask")) > 8
    assert names(slides / "image") == names(slides / "dem") == names(slides / "mask")
    assert names(others / "image") == names(others / "dem")
    assert 0 < len(names(others / "image")) <= 3
    assert not set(names(others / "dem")) & set(names(slides / "dem"))
    assert {n[:5] for n in names(slides / "mask")} == {"demoA", "demoB"}
    assert names(folder.parent) == ["data"]


def test_written_files_round_trip(written):
    folder, _ = written
    scene = demo_scene(200, 26 * 4)  # scene A
    for path in sorted((folder / "landslide" / "mask").glob("demoA_*.tif")):
        row, col = map(int, path.stem.split("_")[1:])
        window = np.s_[48 * row : 48 * row + 48, 48 * col : 48 * col + 48]
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == 32648 and file.res == (10, 10) and file.nodata is None
            transform, bounds, mask = file.transform, file.bounds, file.read()
        np.testing.assert_array_equal(mask[0], scene.mask[window])
        assert mask.dtype == np.uint8 and mask.mean() >= 0.01
        # 480 m a tile, from the scene's north-west corner.
        assert (bounds.left, bounds.top) == (200_000 + 480 * col, 3_300_000 - 480 * row)
        with rasterio.open(folder / "landslide" / "dem" / path.name) as file:
            assert file.transform == transform and file.crs.to_epsg() == 32648
            assert file.nodata == -9999 and file.dtypes == ("float32",)
            np.testing.assert_array_equal(file.read(1), scene.dem[window])
        with rasterio.open(folder / "landslide" / "image" / path.name) as file:
            assert file.transform == transform and file.crs.to_epsg() == 32648
            assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            assert file.compression.name == "deflate" and file.nodata is None
            np.testing.assert_array_equal(file.read().transpose(1, 2, 0), scene.image[window])


def test_tiles_do_not_overlap(written):
    folder, _ = written
    boxes = []
    for path in folder.glob("*/dem/*.tif"):
        with rasterio.open(path) as file:
            boxes.append(file.bounds)
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            assert a.right <= b.left or b.right <= a.left or a.top <= b.bottom or b.top <= a.bottom


def test_tiles_without_landslides_have_none(written):
    folder, _ = written
    for letter, seed in (("A", 104), ("B", 105)):
        mask = demo_scene(200, seed).mask
        for path in (folder / "non-landslide" / "dem").glob(f"demo{letter}_*.tif"):
            row, col = map(int, path.stem.split("_")[1:])
            assert not mask[48 * row : 48 * row + 48, 48 * col : 48 * col + 48].any()


def test_a_used_folder_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="data exists and is not empty") as error:
        write_demo(folder, scenes=1)
    assert "\n" not in str(error.value)
    assert names(folder) == ["note.txt"] and (folder / "note.txt").read_text() == "mine"
    with pytest.raises(InputError, match="note.txt"):
        write_demo(folder / "note.txt", scenes=1)
    assert names(tmp_path) == ["data"]


def test_an_empty_folder_is_filled(tmp_path):
    assert write_demo(tmp_path, scenes=1, scene_px=96, tile_px=48) > 0
    assert "landslide" in names(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr("landslide_tf.data.demo.write.write_geotiff", full)
    with pytest.raises(OSError, match="disk full"):
        write_demo(tmp_path / "data", scenes=1, scene_px=96, tile_px=48)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        dict(scenes=0),
        dict(scenes=27),
        dict(tile_px=8),
        dict(tile_px=300, scene_px=200),
        dict(negatives=-1),
        dict(seed=-1),
    ],
)
def test_write_refuses_bad_arguments(tmp_path, arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        write_demo(tmp_path / "data", **arguments)
    assert os.listdir(tmp_path) == []


def test_the_built_in_set_that_another_process_made_meanwhile_is_taken(tmp_path, monkeypatch):
    """Two runs that start at one time both begin to write it; one is first."""
    monkeypatch.setenv("LANDSLIDE_CACHE", str(tmp_path))

    def slower(folder):
        (folder / "landslide").mkdir(parents=True)
        folder.rmdir()  # as `write_demo` does before its last step: the folder is not empty

    monkeypatch.setattr(write, "write_demo", slower)
    folder = demo_folder()
    assert (folder / "landslide").is_dir()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LANDSLIDE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be written .*set LANDSLIDE_CACHE"):
        demo_folder()
