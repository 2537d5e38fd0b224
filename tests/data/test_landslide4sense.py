"""The HDF5 tiles of Landslide4Sense, made small here: what is read is what was put in."""

import h5py
import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.data.arrays import load_tiles, pack_tiles
from landslide_tf.data.index import find_samples
from landslide_tf.data.landslide4sense import read_hdf5
from landslide_tf.data.tile import read_tile
from landslide_tf.inputs import InputSpec

# what the bands were divided by, https://github.com/iarai/Landslide4Sense-2022/issues/4
MEAN = {2: 824.63171476, 3: 663.41636217, 4: 445.17289745, 8: 1941.32229668, 14: 772.83144788}
PX = 16


def write_h5(path, name, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file[name] = values
    return path


def write_set(root, count=12, px=PX):
    """`count` tiles whose bands are known: reflectance x 10000 = 1000 + 100 x band, DEM a slope."""
    for i in range(1, count + 1):
        image = np.zeros((px, px, 14))
        for band in MEAN:
            image[..., band - 1] = (1000 + 100 * band) / MEAN[band]
        image[..., 13] = (10.0 * np.arange(px) + i) / MEAN[14]  # metres
        mask = np.zeros((px, px), "uint8")
        mask[i % px :, :4] = 1
        image[..., 1:4] *= 1 + mask[..., None]  # landslides are twice as bright
        write_h5(root / f"img/image_{i}.h5", "img", image)
        write_h5(root / f"mask/mask_{i}.h5", "mask", mask)
    return root


def test_bands_come_back_in_their_units(tmp_path):
    write_set(tmp_path, 1)
    path = tmp_path / "img/image_1.h5"
    image = read_hdf5(path, "image")
    assert image.values.dtype == np.float32 and image.size == (PX, PX) and image.valid.all()
    # band 4 is red: 1400; green 3: 1300; blue 2: 1200
    np.testing.assert_allclose(image.values[0, -1], (1400, 1300, 1200), rtol=1e-6)
    np.testing.assert_allclose(
        read_hdf5(path, "image", bands=(8, 4, 3)).values[0, -1], (1800, 1400, 1300), rtol=1e-6
    )
    dem = read_hdf5(path, "dem")
    assert dem.values.shape == (PX, PX, 1)
    np.testing.assert_allclose(dem.values[3, :3, 0], (1, 11, 21), rtol=1e-6)
    mask = read_hdf5(tmp_path / "mask/mask_1.h5", "mask")
    assert mask.values[..., 0].sum() == 15 * 4 and mask.values.shape == (PX, PX, 1)


def test_a_tile_is_rgb_dem_and_mask(tmp_path):
    sample = find_samples(write_set(tmp_path, 1)).samples[0]
    assert sample.name == "image_1" and set(sample.files) == {"image", "dem", "mask"}
    tile, place = read_tile(sample, InputSpec(tile_px=PX))
    assert place is None and tile.valid.all()
    # reflectance 0.3 is 1: 1400 / 3000 and so on; a landslide has 2800 / 3000
    np.testing.assert_allclose(tile.rgb[0, -1], (1400 / 3000, 1300 / 3000, 0.4), rtol=1e-5)
    np.testing.assert_allclose(tile.rgb[-1, 0, 0], 2800 / 3000, rtol=1e-5)
    np.testing.assert_allclose(tile.dem[0, :2], (1, 11), rtol=1e-5)
    assert tile.mask[1:, :4].all() and tile.mask.sum() == 15 * 4
    tile, _ = read_tile(sample, InputSpec(tile_px=PX, rgb_scale=2000, bands=(8, 4, 3)))
    np.testing.assert_allclose(tile.rgb[0, -1], (0.9, 0.7, 0.65), rtol=1e-5)
    assert tile.rgb[-1, 0, 1] == 1  # 2800 of 2000
    # 10 m up on 10 m along: 45 degrees, half of 90
    tile, _ = read_tile(sample, InputSpec(tile_px=PX, terrain=("slope",), resolution_m=10))
    np.testing.assert_allclose(tile.terrain, 0.5, atol=1e-6)


def test_nan_and_a_named_value_are_no_data(tmp_path):
    image = np.ones((4, 4, 14))
    image[0, 0, 3] = np.nan  # red
    image[1, 1, 0] = np.nan  # a band that nobody asks for
    image[2, 2, 1:4] = 0
    image[3, 3, 13] = np.inf
    path = write_h5(tmp_path / "img/image_1.h5", "img", image)
    valid = read_hdf5(path, "image").valid
    assert not valid[0, 0] and valid.sum() == 15
    assert np.argwhere(~read_hdf5(path, "image", nodata=0).valid).tolist() == [[0, 0], [2, 2]]
    assert np.argwhere(~read_hdf5(path, "dem").valid).tolist() == [[3, 3]]


def test_no_data_is_looked_for_before_the_arithmetic(tmp_path):
    image = np.ones((4, 4, 14))
    image[0, 0], image[1, 1] = -9999, -32768
    path = write_h5(tmp_path / "img/image_1.h5", "img", image)
    for kind in ("image", "dem"):
        valid = read_hdf5(path, kind, nodata=(-9999, -32768)).valid
        assert np.argwhere(~valid).tolist() == [[0, 0], [1, 1]]


def test_a_file_cut_off_anywhere_is_one_line(tmp_path):
    image = np.random.default_rng(0).random((8, 8, 14))
    whole = write_h5(tmp_path / "img/image_1.h5", "img", image).read_bytes()
    values = read_hdf5(tmp_path / "img/image_1.h5", "image").values
    for share in np.linspace(0, 0.99, 40):
        (tmp_path / "cut.h5").write_bytes(whole[: int(share * len(whole))])
        try:
            np.testing.assert_array_equal(read_hdf5(tmp_path / "cut.h5", "image").values, values)
        except InputError as error:
            assert "cut.h5" in str(error) and "\n" not in str(error)


def test_loaded_packed_and_split(tmp_path, capsys):
    root = write_set(tmp_path / "TrainData")
    config = InputSpec(tile_px=PX)
    tiles = load_tiles(root, config)
    assert len(tiles) == 12 and tiles.has_dem.all()
    pack_tiles(tiles, tmp_path / "tiles.npz")
    again = load_tiles(tmp_path / "tiles.npz", config)
    np.testing.assert_array_equal(again.rgb, tiles.rgb)
    with pytest.raises(InputError, match="packed with --bands .4, 3, 2., asked for .8, 4, 3."):
        load_tiles(tmp_path / "tiles.npz", InputSpec(tile_px=PX, bands=(8, 4, 3)))
    assert main(["data", "check", str(root)]) == 0
    out = capsys.readouterr().out
    # 12 tiles: 4 columns of 16 are landslide, from row i on: sum of (16 - i) * 4 of 12 * 256
    assert "12 landslide tiles" in out and "12 with a DEM, 0 georeferenced" in out
    assert f"{114 * 4 / (12 * 256):.1%} of all pixels" in out and "1200 to 2800" in out
    assert main(["data", "split", str(root), str(tmp_path / "s.json"), "--bands", "8,4,3"]) == 0
    assert "tiles in" in capsys.readouterr().out


@pytest.mark.slow
def test_trained_on_and_predicted(tmp_path):
    root = write_set(tmp_path / "TrainData")
    out = tmp_path / "run"
    words = "--model unet --filters 2 --tile-px 16 --epochs 1 --batch-size 4 --out".split()
    assert main(["train", "--data", str(root), *words, str(out)]) == 0
    assert main(["predict", str(out), "--data", str(root), "--out", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p/image_1_probability.tif").exists()


def test_the_whole_download_asks_for_one_part(tmp_path):
    write_set(tmp_path / "TrainData", 1)
    write_set(tmp_path / "ValidData", 1)
    with pytest.raises(InputError, match="several data sets .*TrainData.*ValidData"):
        find_samples(tmp_path)


def check_refused(path, kind, *parts, **options):
    with pytest.raises(InputError) as error:
        read_hdf5(path, kind, **options)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for part in parts:
        assert part in message


def test_files_that_are_not_landslide4sense(tmp_path):
    write = lambda name, values: write_h5(tmp_path / "a.h5", name, values)  # noqa: E731
    check_refused(write("image", np.ones((4, 4, 14))), "image", "['image']", '"img"')
    check_refused(write("img", np.ones((4, 4, 12))), "dem", "12 bands", "14")
    check_refused(write("img", np.ones((4, 4))), "image", "shape (4, 4)", "3 dimensions")
    check_refused(write("mask", np.ones((4, 4, 1))), "mask", "2 dimensions")
    check_refused(write("mask", np.ones((0, 4))), "mask", "shape (0, 4)")
    check_refused(write("mask", [[b"a"]]), "mask", "expected numbers")
    check_refused(write("img", np.ones((4, 4, 14))), "image", "--bands", "15", bands=(15, 4, 3))
    check_refused(tmp_path / "missing.h5", "image", "no such file")
    whole = write("img", np.random.default_rng(0).random((64, 64, 14))).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    check_refused(tmp_path / "cut.h5", "image", "cannot be read")
    (tmp_path / "text.h5").write_text("no HDF5")
    check_refused(tmp_path / "text.h5", "image", "cannot be read")
