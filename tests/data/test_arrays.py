"""A folder, its cache and its pack give the same arrays; what is bad is refused or listed."""

import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import write_raster, write_tiles
from landslide_tf.checks import InputError
from landslide_tf.data import decode as decode_module
from landslide_tf.data.arrays import ground_resolution_m, load_tiles, pack_tiles, take
from landslide_tf.inputs import InputSpec

PX = 16
SPEC = InputSpec(tile_px=PX)
ARRAYS = (
    "rgb",
    "dem",
    "terrain",
    "mask",
    "image_valid",
    "input_valid",
    "valid",
    "negative",
    "has_dem",
    "place",
)


@pytest.fixture
def folder(tmp_path):
    """Five landslide tiles of odd size with a DEM, two negatives, one of the same name."""
    root = write_tiles(tmp_path / "tiles", count=5, size=(21, 34))
    for name in ("a000", "n1"):
        write_raster(root / f"non-landslide/image/{name}.png", np.full((9, 9, 3), 77, "uint8"))
        write_raster(root / f"non-landslide/dem/{name}.png", np.eye(9, dtype="uint8"))
    return root


def check_same(a, b):
    assert a.names == b.names and a.files == b.files and a.spec == b.spec
    for name in ARRAYS:
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype and x.shape == y.shape, name
        np.testing.assert_array_equal(x, y, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [{}, {"negatives": True}, {"terrain": ("slope", "hillshade"), "resolution_m": 2.0}],
)
def test_folder_cache_and_pack_are_equal_bit_for_bit(options, folder, tmp_path):
    options = {"tile_px": PX, **options}
    tiles = load_tiles(folder, **options)
    assert len(tiles) == (7 if "negatives" in options else 5)
    assert tiles.rgb.shape == (len(tiles), PX, PX, 3)
    assert tiles.rgb.dtype == np.float32 and tiles.rgb.std() > 0.1 and tiles.rgb.max() <= 1
    assert tiles.terrain.shape[-1] == len(options.get("terrain", ())) and tiles.dem.max() > 100
    for _ in range(2):  # made, then found
        check_same(load_tiles(folder, **options, cache=tmp_path / "cache"), tiles)
    pack_tiles(tiles, tmp_path / "a.npz")
    check_same(load_tiles(tmp_path / "a.npz", **options), tiles)


def test_tiles_are_in_the_order_of_their_names_with_their_own_files(folder):
    tiles = load_tiles(folder, InputSpec(tile_px=PX), negatives=True)
    assert tiles.names == ("a000", "a002", "a004", "b001", "b003", "n1", "non-landslide/a000")
    assert tiles.negative.tolist() == [False] * 5 + [True] * 2
    assert not tiles.mask[5:].any() and tiles.mask[:5].any(axis=(1, 2)).all()
    np.testing.assert_allclose(tiles.rgb[5:], 77 / 255, rtol=1e-6)
    assert set(tiles.files["a000"]) == {"image", "dem", "mask"}
    assert set(tiles.files["n1"]) == {"image", "dem"}
    assert tiles.indices(["b003", "a000"]).tolist() == [4, 0]


def test_hashes_tell_the_content_and_not_the_place(folder, tmp_path):
    tiles = load_tiles(folder, SPEC)
    moved = tmp_path / "elsewhere/wrapped"
    shutil.copytree(folder, moved)
    assert load_tiles(moved.parent, SPEC).sha256 == tiles.sha256
    path = moved / "landslide/mask/a000.png"
    path.write_bytes((moved / "landslide/mask/a002.png").read_bytes())
    assert load_tiles(moved, SPEC).sha256 != tiles.sha256


# ---- cache -------------------------------------------------------------------------------------


def test_cache_is_reused_until_a_file_or_an_option_changes(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = load_tiles(folder, SPEC, cache=cache)
    read, read_tile = [], decode_module.read_tile

    def counting(sample, spec):
        read.append(sample.name)
        return read_tile(sample, spec)

    monkeypatch.setattr(decode_module, "read_tile", counting)
    load_tiles(folder, SPEC, cache=cache)
    # what belongs to the training and not to the reading
    load_tiles(
        folder,
        InputSpec(tile_px=PX, fusion="rgb"),
        cache=cache,
    )
    assert read == []
    for options in ({"tile_px": 32}, {"nodata": 0.0}, {"rgb_scale": 200.0},
                    {"terrain": ("slope",), "resolution_m": 1.0}, {"negatives": True}):  # fmt: skip
        options = {"tile_px": PX, **options}
        cached = load_tiles(folder, **options, cache=cache)
        assert read, f"{options} took the tiles of other options"
        check_same(cached, load_tiles(folder, **options))
        read.clear()
    image = folder / "landslide/image/a002.png"
    before = image.stat()
    write_raster(image, np.zeros((21, 34, 3), "uint8"))
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    changed = load_tiles(folder, SPEC, cache=cache)
    assert len(read) == 5
    assert not changed.rgb[1].any() and changed.files["a002"] != first.files["a002"]


def test_cut_off_cache_is_made_again(folder, tmp_path, monkeypatch):
    cache, good = tmp_path / "cache", load_tiles(folder, SPEC)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decode_module, "read_tile", killed)
        with pytest.raises(KeyboardInterrupt):
            load_tiles(folder, SPEC, cache=cache)
    assert not list(cache.iterdir())
    check_same(load_tiles(folder, SPEC, cache=cache), good)
    # a kill leaves no time for tidying up
    made = next(cache.glob("tiles-*"))
    (made / "facts.json").unlink()
    check_same(load_tiles(folder, SPEC, cache=cache), good)


def test_a_cache_that_another_process_has_finished_is_not_replaced(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    good = load_tiles(folder, SPEC, cache=cache)
    (made,) = cache.iterdir()
    number = (made / "facts.json").stat().st_ino
    aside = made.rename(tmp_path / "aside")
    write = decode_module._write_cache

    def late(*arguments):
        write(*arguments)
        aside.rename(made)  # the other process ends first

    monkeypatch.setattr(decode_module, "_write_cache", late)
    check_same(load_tiles(folder, SPEC, cache=cache), good)
    assert (made / "facts.json").stat().st_ino == number
    assert list(cache.iterdir()) == [made]


def test_too_little_memory_names_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(decode_module, "available_memory", lambda: 1000)
    with pytest.raises(InputError, match="--cache DIR"):
        load_tiles(folder, SPEC)
    assert len(load_tiles(folder, SPEC, cache=tmp_path / "cache")) == 5


# ---- packs -------------------------------------------------------------------------------------


def test_pack_in_256_steps(folder, tmp_path):
    tiles = load_tiles(folder, SPEC)
    pack_tiles(tiles, tmp_path / "a.npz", rgb_uint8=True)
    packed = load_tiles(tmp_path / "a.npz", SPEC)
    assert packed.rgb.dtype == np.float32
    # rounding to whole 255ths: half a step
    difference = np.abs(packed.rgb - tiles.rgb).max()
    assert 0.001 < difference <= 1 / 510 + 1e-6
    np.testing.assert_array_equal(packed.dem, tiles.dem)
    np.testing.assert_array_equal(packed.mask, tiles.mask)


def check_pack_refused(path, *parts, **options):
    with pytest.raises(InputError) as error:
        load_tiles(path, **{"tile_px": PX, **options})
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for part in parts:
        assert part in message


def test_pack_for_other_options(folder, tmp_path):
    pack_tiles(load_tiles(folder, SPEC), tmp_path / "a.npz")
    check_pack_refused(tmp_path / "a.npz", "16 px", "--tile-px is 32", tile_px=32)
    check_pack_refused(tmp_path / "a.npz", "terrain", "slope", terrain=("slope",), resolution_m=1.0)
    check_pack_refused(tmp_path / "a.npz", "--negatives", negatives=True)


def test_pack_with_negatives_gives_them_when_asked_for(folder, tmp_path):
    pack_tiles(
        load_tiles(folder, InputSpec(tile_px=PX), negatives=True),
        tmp_path / "a.npz",
    )
    check_same(load_tiles(tmp_path / "a.npz", SPEC), load_tiles(folder, SPEC))


def test_files_that_are_no_packs(folder, tmp_path):
    pack_tiles(load_tiles(folder, SPEC), tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    broken = bytearray(content)
    broken[len(content) // 2] ^= 0xFF
    files = {
        "empty.npz": b"",
        "text.npz": b"not a pack",
        "cut.npz": content[: len(content) // 2],
        "broken.npz": bytes(broken),
        "image.png": (folder / "landslide/image/a000.png").read_bytes(),
        "bare.pickle": pickle.dumps({"rgb": 1}),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        check_pack_refused(tmp_path / name, "landslide data pack")
    np.savez(tmp_path / "other.npz", rgb=np.zeros((2, PX, PX, 3), "float32"))
    check_pack_refused(tmp_path / "other.npz", "landslide data pack")
    np.save(tmp_path / "array.npy", np.zeros((2, PX, PX, 3)))
    check_pack_refused(tmp_path / "array.npy", "landslide data pack")


def test_pack_of_another_format(folder, tmp_path):
    pack_tiles(load_tiles(folder, SPEC), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as pack:
        arrays = dict(pack)
    facts = json.loads(str(arrays.pop("facts")))
    np.savez(tmp_path / "b.npz", facts=json.dumps({**facts, "format": 99}), **arrays)
    check_pack_refused(tmp_path / "b.npz", "format 99")
    without = {name: array for name, array in arrays.items() if name != "mask"}
    np.savez(tmp_path / "c.npz", facts=json.dumps(facts), **without)
    check_pack_refused(tmp_path / "c.npz")


class Trap:
    """Sets off when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["TRAP"],))


def test_pickled_objects_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    np.savez(tmp_path / "a.npz", facts=np.array([Trap()], object), rgb=np.zeros(3))
    check_pack_refused(tmp_path / "a.npz", "landslide data pack")
    assert not (tmp_path / "sprung").exists()


def test_pack_is_written_whole_or_not_at_all(folder, tmp_path, monkeypatch):
    tiles = load_tiles(folder, SPEC)

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        pack_tiles(tiles, tmp_path / "a.npz")
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob(".*"))


# ---- bad tiles ---------------------------------------------------------------------------------


def test_bad_tiles_are_refused_or_left_out_and_listed(folder, tmp_path):
    good = load_tiles(folder, SPEC)
    (folder / "landslide/image/a002.png").write_bytes(b"torn")
    write_raster(folder / "landslide/mask/b003.png", np.full((21, 34), 7, "uint8"))
    with pytest.raises(InputError, match="a002.png.*and 1 more.*--skip-bad") as error:
        load_tiles(folder, SPEC)
    assert "\n" not in str(error.value)
    (folder / "landslide/image/lonely.png").write_bytes(b"")
    with pytest.raises(InputError, match="lonely.png: has no mask.*--skip-bad"):
        load_tiles(folder, SPEC)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        tiles = load_tiles(folder, InputSpec(tile_px=PX), skip_bad=True, cache=cache)
        assert tiles.names == ("a000", "a004", "b001")
        listed = [n for line in tiles.skipped for n in ("lonely", "a002", "b003") if n in line]
        assert listed == ["lonely", "a002", "b003"]
        np.testing.assert_array_equal(tiles.rgb, good.rgb[[0, 2, 3]])
        np.testing.assert_array_equal(tiles.mask, good.mask[[0, 2, 3]])
        assert set(tiles.files) == set(tiles.names)


def test_not_one_usable_tile(tmp_path):
    write_raster(tmp_path / "landslide/image/a.png", np.ones((4, 4, 3), "uint8"))
    write_raster(tmp_path / "landslide/mask/a.png", np.full((4, 4), 3, "uint8"))
    with pytest.raises(InputError, match="not one usable tile.*a.png"):
        load_tiles(tmp_path, InputSpec(tile_px=PX), skip_bad=True)


@pytest.mark.parametrize("packed", [False, True])
def test_tiles_without_a_dem(packed, folder, tmp_path):
    for name in ("a000", "b001"):
        (folder / f"landslide/dem/{name}.png").unlink()
    rgb = InputSpec(tile_px=PX, fusion="rgb")
    tiles = load_tiles(folder, rgb)
    assert tiles.has_dem.tolist() == [False, True, True, False, True]
    data = folder
    if packed:
        data = tmp_path / "a.npz"
        pack_tiles(tiles, data)
        check_same(load_tiles(data, rgb), tiles)
    for fusion in ("early", "bottleneck"):
        with pytest.raises(InputError, match="2 of 5 tiles have no DEM.*--fusion rgb"):
            load_tiles(data, InputSpec(tile_px=PX, fusion=fusion))


def test_take_follows_the_order_asked_for(folder):
    tiles = load_tiles(folder, SPEC)
    for order in ([3, 1], [4, 3, 2, 1, 0]):
        taken = take(tiles, order)
        assert taken.names == tuple(tiles.names[i] for i in order)
        np.testing.assert_array_equal(taken.rgb, tiles.rgb[order])
        assert set(taken.files) == set(taken.names)


def test_ground_resolution_of_the_models_input(tmp_path, tiny_tiles):
    """Tiles of 40 x 40 pixels of 2 m resized to 16: 80 m / 16 = 5 m a pixel."""
    place = {"crs": "EPSG:32647", "transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    for name in ("a", "b"):
        write_raster(
            tmp_path / f"landslide/image/{name}.tif", np.ones((40, 40, 3), "uint8"), **place
        )
        write_raster(tmp_path / f"landslide/mask/{name}.tif", np.ones((40, 40), "uint8"), **place)
    spec = InputSpec(tile_px=16, fusion="rgb")
    assert ground_resolution_m(tmp_path, spec) == pytest.approx(5)
    assert ground_resolution_m(tiny_tiles, spec) is None  # PNG
    assert ground_resolution_m(tmp_path / "pack.npz", spec) is None


@pytest.mark.parametrize("name", ["facts.json", "rgb.npy", "valid.npy"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", None])
def test_a_damaged_cache_is_one_line(name, content, folder, tmp_path):
    cache = tmp_path / "cache"
    load_tiles(folder, SPEC, cache=cache)
    (path,) = cache.glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(InputError, match="delete this folder") as error:
        load_tiles(folder, SPEC, cache=cache)
    assert str(path.parent) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_no_file_of_a_cache_is_open_when_it_gets_its_name(folder, tmp_path, monkeypatch):
    """Windows renames no folder with open files."""
    rename, seen = Path.rename, []

    def watched(self, target):
        seen.append(str(self) in Path("/proc/self/maps").read_text())
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    load_tiles(folder, SPEC, cache=tmp_path / "cache")
    assert seen == [False]


def test_reading_needs_no_stderr_and_leaves_the_warning_filters(folder, monkeypatch):
    before = list(warnings.filters)
    monkeypatch.setattr("sys.stderr", None)
    assert len(load_tiles(folder, SPEC)) > 0
    assert list(warnings.filters) == before
