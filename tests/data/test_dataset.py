"""tf.data, the PyDataset and plain arrays give the same batches, in an order fixed by the seed."""

import dataclasses
import math

import numpy as np
import pytest

from conftest import write_raster, write_tiles
from landslide_tf.checks import InputError
from landslide_tf.data import dataset as dataset_module
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.augment import augment, draw
from landslide_tf.data.dataset import (
    Part,
    dem_statistics,
    epoch_order,
    scoring_batches,
    tile_datasets,
    training_batches,
)
from landslide_tf.inputs import InputSpec

SPEC = InputSpec(tile_px=16)
BOTH = ("flips", "light")
INDICES = np.array([8, 1, 4, 6, 0, 3, 7])  # seven of nine tiles: batches of 3, 3 and 1


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    root = write_tiles(tmp_path_factory.mktemp("tiles"), count=9, size=(20, 20))
    dem = np.tile(np.arange(20, dtype="float32"), (20, 1)) * 10
    dem[:5] = -9999
    (root / "landslide/dem/a004.png").unlink()
    write_raster(root / "landslide/dem/a004.tif", dem, nodata=-9999)
    return load_tiles(root, SPEC)


@pytest.fixture
def part(tiles):
    return Part(tiles, INDICES, SPEC)


def training(part, augment=(), start_epoch=0):
    return training_batches(
        part, batch_size=3, epochs=3, seed=5, augment=augment, start_epoch=start_epoch
    )


def collect(batches):
    return [tuple(np.asarray(array) for array in batch) for batch in batches]


def check_same(ours, expected):
    assert len(ours) == len(expected)
    for batch, other in zip(ours, expected, strict=True):
        for a, b in zip(batch, other, strict=True):
            assert a.dtype == b.dtype == np.float32
            np.testing.assert_allclose(a, b, atol=1e-6)


def expected_batches(part, epochs, names=()):
    batches = []
    for epoch in epochs:
        order = epoch_order(len(part), 5, epoch)
        for i in range(0, len(part), 3):
            positions = order[i : i + 3]
            numbers = draw(9, 5, epoch)[part.indices[positions]]
            changed = augment(*part.arrays(positions), numbers, names)
            batches.append(tuple(np.asarray(array) for array in changed))
    return batches


def test_arrays_are_those_of_the_tiles(part, tiles):
    x, y, w = part.arrays([2, 0])
    assert x.shape == (2, 16, 16, 4) and y.shape == w.shape == (2, 16, 16, 1)
    # positions 2 and 0 of the part are tiles 4 and 8; tile 0, 2, 4 ... are named a000, a002, ...
    for got, i in zip(range(2), (4, 8), strict=True):
        valid = tiles.valid[i]
        np.testing.assert_array_equal(y[got, ..., 0], tiles.mask[i])
        np.testing.assert_array_equal(w[got, ..., 0], valid)
        np.testing.assert_array_equal(x[got][valid][:, :3], tiles.rgb[i][valid])
        z = tiles.dem[i][valid]
        relief = (z - z.min()) / (z.max() - z.min())
        np.testing.assert_allclose(x[got][valid][:, 3], relief, atol=1e-6)
        assert (x[got][~valid] == 0).all()


def test_weights_are_zero_where_a_file_has_no_data(tiles):
    part = Part(tiles, tiles.indices(["a004"]), SPEC)
    _, _, w = part.arrays([0])
    # 5 of 20 rows: 4 of 16
    assert (w[0, :4] == 0).all() and (w[0, 4:] == 1).all()
    rgb = Part(tiles, part.indices, InputSpec(tile_px=16, fusion="rgb"))
    x, _, rgb_w = rgb.arrays([0])
    np.testing.assert_array_equal(rgb_w, w)
    # the DEM's hole weighs nothing, but the RGB model, which reads no DEM, sees the colours there
    assert x.shape[-1] == 3 and (x[0, :4] > 0).all()
    early_x, _, _ = part.arrays([0])
    assert (early_x[0, :4] == 0).all()


def test_epoch_order():
    for epoch in range(5):
        assert sorted(epoch_order(7, 5, epoch)) == list(range(7))
        np.testing.assert_array_equal(epoch_order(7, 5, epoch), epoch_order(7, 5, epoch))
    orders = {tuple(epoch_order(7, seed, epoch)) for seed in range(3) for epoch in range(5)}
    assert len(orders) == 15  # of 5040


@pytest.mark.parametrize("names", [(), ("flips",), BOTH])
def test_tf_data_gives_the_arrays_in_the_order_of_each_epoch(names, part):
    batches = collect(training(part, names))
    check_same(batches, expected_batches(part, range(3), names))
    assert [len(batch[0]) for batch in batches] == [3, 3, 1] * 3
    assert part.steps(3) == 3 and part.steps(7) == 1 and part.steps(8) == 1
    # another order in each epoch
    assert not np.array_equal(batches[0][0], batches[3][0])


@pytest.mark.slow
def test_starting_later_continues_the_same_batches(part):
    whole = collect(training(part, BOTH))
    check_same(collect(training(part, BOTH, start_epoch=1)), whole[3:])
    check_same(collect(training(part, BOTH, start_epoch=2)), whole[6:])


def test_every_tile_is_seen_once_an_epoch(part):
    batches = collect(training(part))
    for epoch in range(3):
        x = np.concatenate([batch[0] for batch in batches[3 * epoch : 3 * epoch + 3]])
        found = sorted(x.reshape(7, -1).sum(axis=1).tolist())
        expected = sorted(part.arrays(range(7))[0].reshape(7, -1).sum(axis=1).tolist())
        assert found == expected


def test_scoring_is_in_order_and_never_augmented(part):
    expected = [part.arrays(range(4)), part.arrays(range(4, 7))]
    for _ in range(2):
        check_same(collect(scoring_batches(part, 4)), expected)


def test_augmentation_is_by_seed_epoch_and_tile(part):
    def tile_8(part, epoch, seed=5):
        """Tile 8 as the pipeline gives it in an epoch."""
        options = {"batch_size": 1, "epochs": epoch + 1, "start_epoch": epoch, "augment": BOTH}
        order = list(part.indices[epoch_order(len(part), seed, epoch)])
        return collect(training_batches(part, seed=seed, **options))[order.index(8)][0]

    one = tile_8(part, 0)
    assert not np.array_equal(one, tile_8(part, 1))
    assert not np.array_equal(one, tile_8(part, 0, seed=6))
    # by tile, and not by its position in a part
    np.testing.assert_array_equal(one, tile_8(dataclasses.replace(part, indices=INDICES[::-1]), 0))


def test_arrays_on_disk_give_the_same_batches(tiles, part, tmp_path):
    def on_disk(name):
        array = getattr(tiles, name)
        path = tmp_path / f"{name}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode="r") if array.size else array

    names = ("rgb", "dem", "terrain", "mask", "image_valid", "input_valid", "valid")
    lazy = dataclasses.replace(tiles, **{name: on_disk(name) for name in names})
    assert isinstance(lazy.rgb, np.memmap)
    lazy = dataclasses.replace(part, tiles=lazy)
    check_same(collect(training(lazy, BOTH)), collect(training(part, BOTH)))


def test_each_part_copies_its_own_tiles_alone(tiles, monkeypatch):
    """Of nine tiles: five to train with, two to validate with."""
    import tensorflow as tf

    constant, copied = tf.constant, []

    def counted(array, *arguments):
        copied.append(array.nbytes if np.ndim(array) > 2 else 0)
        return constant(array, *arguments)

    monkeypatch.setattr(tf, "constant", counted)
    training_batches(Part(tiles, np.arange(5), SPEC), batch_size=3, epochs=1)
    scoring_batches(Part(tiles, np.arange(5, 7), SPEC), 3)
    # RGB and elevation of 4 bytes, a mask and three valid masks of 1 byte
    assert sum(copied) == (5 + 2) * 16 * 16 * ((3 + 1) * 4 + 1 + 3)


def test_autotuning_is_off(part):
    for dataset in (training(part), scoring_batches(part, 2)):
        assert dataset.options().autotune.enabled is False


def test_shapes_are_known_to_the_graph(part):
    for dataset in (training(part), scoring_batches(part, 2)):
        x, y, w = dataset.element_spec
        assert x.shape.as_list() == [None, 16, 16, 4]
        assert y.shape.as_list() == w.shape.as_list() == [None, 16, 16, 1]


@pytest.mark.parametrize("names", [(), BOTH])
def test_py_dataset_gives_the_batches_of_tf_data(names, part, monkeypatch):
    expected = collect(training(part, names, start_epoch=1))
    scoring = collect(scoring_batches(part, 4))
    monkeypatch.setattr(dataset_module, "_use_tensorflow", lambda: False)
    dataset = training(part, names, start_epoch=1)
    batches = []
    for _ in (1, 2):
        batches += [dataset[step] for step in range(len(dataset))]
        dataset.on_epoch_end()
    check_same(batches, expected)
    dataset = scoring_batches(part, 4)
    for _ in range(2):
        check_same([dataset[step] for step in range(len(dataset))], scoring)
        dataset.on_epoch_end()


def test_dem_statistics(tiles):
    chosen = tiles.indices(["a000", "a004", "b003"])
    z = np.concatenate([tiles.dem[i][tiles.valid[i]] for i in chosen]).astype("float64")
    mean, deviation = dem_statistics(tiles, chosen)
    assert mean == pytest.approx(z.mean()) and deviation == pytest.approx(z.std())
    # a quarter of a004 has no data
    assert len(z) == 2 * 256 + 192


def test_dem_statistics_by_hand(tiles):
    valid = np.zeros((2, 1, 2), bool)
    valid[0], valid[1, 0, 0] = True, True
    dem = np.array([[[1.0, 2.0]], [[6.0, 999.0]]], "float32")
    mean, deviation = dem_statistics(dataclasses.replace(tiles, dem=dem, input_valid=valid), [0, 1])
    # 1, 2, 6: mean 3, squares of the distances 4 + 1 + 9 = 14
    assert mean == pytest.approx(3) and deviation == pytest.approx(math.sqrt(14 / 3))


def test_dataset_normalisation_uses_the_statistics_given(tiles):
    spec = InputSpec(tile_px=16, dem_normalisation="dataset", dem_statistics=(50.0, 25.0))
    i = int(tiles.indices(["b003"])[0])
    x, _, _ = Part(tiles, np.array([i]), spec).arrays([0])
    np.testing.assert_allclose(x[0, ..., 3], (tiles.dem[i] - 50) / 25, rtol=1e-5, atol=1e-6)


def test_a_part_without_its_dem_or_with_that_of_others(tiles):
    own = Part(tiles, INDICES, SPEC).arrays(range(7))[0]
    zero = Part(tiles, INDICES, SPEC, dem="zero").arrays(range(7))[0]
    others = Part(tiles, INDICES, SPEC, dem="others").arrays(range(7))[0]
    for x in (zero, others):
        np.testing.assert_array_equal(x[..., :3], own[..., :3])
    assert not zero[..., 3].any()
    assert own[..., 3].any()
    # half of seven tiles further on is three: the first tile gets the DEM of the fourth
    np.testing.assert_array_equal(others[0, ..., 3], own[3, ..., 3])
    np.testing.assert_array_equal(others[5, ..., 3], own[1, ..., 3])


def test_no_data_stays_no_data_with_another_dem(tiles):
    gap = int(np.flatnonzero((~tiles.input_valid).any(axis=(1, 2)))[0])
    part = Part(tiles, np.array([gap, 1]), SPEC, dem="others")
    x, missing = part.arrays([0])[0][0], ~tiles.input_valid[gap]
    assert not x[missing].any()
    assert x[~missing][:, 3].any()


def test_a_model_without_dem_has_none_to_replace(tiles):
    with pytest.raises(InputError, match="reads the DEM"):
        Part(tiles, INDICES, InputSpec(tile_px=16, fusion="rgb"), dem="zero")
    with pytest.raises(InputError, match="'own', 'zero', 'others'"):
        Part(tiles, INDICES, SPEC, dem="none")


def test_tile_datasets_shuffle_anew_at_each_pass(tiles):
    train, validation, test = tile_datasets(tiles, seed=3, batch_size=2, augment=BOTH)
    # nine tiles: round(0.2 x 9) = 2 test, round(0.2 x 7) = 1 validation, 6 train
    assert [len(part) for part in (train, validation, test)] == [3, 1, 1]
    first, second = collect(train), collect(train)
    assert [len(batch[0]) for batch in first] == [2, 2, 2]
    assert not np.array_equal(first[0][0], second[0][0])
    # another call with the same seed gives the same passes
    again, *_ = tile_datasets(tiles, seed=3, batch_size=2, augment=BOTH)
    check_same(collect(again), first)
    check_same(collect(again), second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": ("flip",)}, "`augment` must be one of 'flips', .*'flip'"),
        ({"augment": "flips"}, "`augment` must be a list"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"batch_size": 2.5}, "`batch_size` must be a whole number"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_tile_datasets_refuse_what_they_cannot_do(tiles, options, message):
    with pytest.raises(InputError, match=message):
        tile_datasets(tiles, **options)


def test_numpy_numbers_are_taken_for_batch_size_and_seed(tiles):
    train, _, _ = tile_datasets(tiles, batch_size=np.int64(2), seed=np.int64(3))
    assert next(iter(train))[0].shape[0] == 2
