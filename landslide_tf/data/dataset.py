"""Tiles as batches of a model's input: tf.data pipelines, and the same for any Keras backend.

Python reads the files, once. From then on all work is `keras.ops` inside the pipeline: stacking the
DEM onto the image, normalising, augmenting, batching.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from dataclasses import dataclass

import keras
import numpy as np

from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import check_augment
from landslide_tf.data.arrays import Tiles
from landslide_tf.data.augment import DRAWS, augment, draw
from landslide_tf.data.split import PARTS, make_split
from landslide_tf.fields import check_number, plain
from landslide_tf.inputs.preprocess import Preprocessor, Sized
from landslide_tf.inputs.spec import InputSpec

DEM_SOURCES = ("own", "zero", "others")
CALIBRATION_TILES, CALIBRATION_BATCH = 256, 16
_ARRAYS = ("rgb", "dem", "terrain", "mask", "image_valid", "input_valid", "valid")


@dataclass(frozen=True)
class Part:
    """A part of a data set as the model sees it.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> part = Part(tiles, np.arange(12), tiles.spec)
    >>> x, y, w = part.arrays([0, 1])
    >>> x.shape, y.shape, len(part), part.steps(batch_size=5)
    ((2, 32, 32, 4), (2, 32, 32, 1), 12, 3)
    """

    tiles: Tiles
    indices: np.ndarray  # which tiles
    spec: InputSpec  # of the tiles, with the training part's statistics
    # The DEM (and terrain) that a tile gets: its 'own', all 'zero', or that of 'others', namely of
    # the tile half a part further on. Scores with the last two show how far a model uses the DEM.
    dem: str = "own"

    def __post_init__(self):
        check_choice("dem", self.dem, DEM_SOURCES)
        if self.dem != "own" and not self.spec.uses_dem:
            raise InputError(f"`dem` {self.dem!r} needs a model that reads the DEM, not fusion rgb")

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> list[str]:
        """Names of the part's tiles, in order."""
        return [self.tiles.names[i] for i in self.indices]

    def steps(self, batch_size: int) -> int:
        """Batches in one pass; the last may be smaller."""
        return math.ceil(len(self) / batch_size)

    def arrays(self, positions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (B, H, W, C), y and w (B, H, W, 1), float32, of the tiles at `positions`.

        w is 1 where all files have data, else 0.
        """
        positions = np.asarray(positions)

        def take(name, rows):
            return getattr(self.tiles, name)[np.asarray(rows)]

        raw = self._gather(take, positions, self.indices)
        return tuple(np.asarray(array) for array in self._batch(raw))

    def _gather(self, take, positions, indices):
        """The raw arrays at `positions`, and the input of the tiles whose DEM they borrow."""
        own = keras.ops.take(indices, positions)
        raw = {name: take(name, own) for name in _ARRAYS}
        if self.dem == "others":
            other = keras.ops.take(indices, (positions + len(self) // 2) % len(self))
            raw["other"] = {name: take(name, other) for name in _ARRAYS}
        return raw

    def _batch(self, raw):
        """x, y and w from raw arrays, in `keras.ops`."""
        x, valid = Preprocessor(self.spec).stack(_sized(raw))
        if self.dem != "own":
            rest = keras.ops.zeros_like(x[..., 3:])
            if self.dem == "others":
                borrowed, _ = Preprocessor(self.spec).stack(_sized(raw["other"]))
                rest = keras.ops.where(valid, borrowed[..., 3:], 0.0)
            x = keras.ops.concatenate([x[..., :3], rest], axis=-1)
        y = keras.ops.cast(raw["mask"], "float32")[..., None]
        return x, y, keras.ops.cast(raw["valid"], "float32")[..., None]


def _sized(raw) -> Sized:
    return Sized(
        rgb=raw["rgb"],
        dem=raw["dem"][..., None],
        terrain=raw["terrain"],
        image_valid=raw["image_valid"][..., None],
        input_valid=raw["input_valid"][..., None],
    )


def make_parts(tiles: Tiles, split: dict[str, list[str]]) -> dict[str, Part]:
    """The three parts of a data set; elevation statistics are those of the training part.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> {name: len(part) for name, part in make_parts(tiles, make_split(tiles)).items()}
    {'train': 8, 'validation': 2, 'test': 2}
    """
    indices = {name: tiles.indices(split[name]) for name in PARTS}
    spec = tiles.spec
    if spec.dem_normalisation == "dataset" and spec.uses_dem:
        spec = dataclasses.replace(spec, dem_statistics=dem_statistics(tiles, indices["train"]))
    return {name: Part(tiles, indices[name], spec) for name in PARTS}


def dem_statistics(tiles: Tiles, indices) -> tuple[float, float]:
    """Mean and deviation in metres of all valid DEM pixels of the tiles at `indices`."""
    count, total, squares = 0, 0.0, 0.0
    for i in indices:  # one tile at a time: the arrays may be larger than memory
        z = tiles.dem[i][tiles.input_valid[i]].astype("float64")
        count, total, squares = count + z.size, total + z.sum(), squares + np.square(z).sum()
    mean = total / max(count, 1)
    return float(mean), float(math.sqrt(max(0.0, squares / max(count, 1) - mean**2)))


def tile_datasets(
    tiles: Tiles,
    split: str = "random",
    *,
    seed: int = 0,
    batch_size: int = 2,
    augment: tuple[str, ...] = (),
):
    """Training, validation and test part as `tf.data.Dataset`s of (x, y, weight), for `fit`.

    All three are float32: x (B, H, W, C) is the model's input, y (B, H, W, 1) the mask of 0 and 1,
    and weight (B, H, W, 1) is 0 where a file has no data, else 1.

    The training part comes in another order at each pass, a function of the seed and the number of
    the pass, and is augmented by what `augment` names (see `data.augment.augment`).

    Args:
        tiles: what `load_tiles` returned.
        split: 'random', 'group' (neighbours stay together), or a JSON file (see `make_split`).
        seed: decides split, order and augmentation.
        batch_size: tiles a batch.
        augment: names of random changes.

    Raises:
        InputError: too few tiles, an argument that is not one of its legal values, or TensorFlow
            is not the backend of Keras.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> train, validation, test = tile_datasets(load_tiles("tiles", tile_px=32), batch_size=4)
    >>> [tuple(array.shape) for array in next(iter(train))]
    [(4, 32, 32, 4), (4, 32, 32, 1), (4, 32, 32, 1)]
    """
    if not _use_tensorflow():
        raise InputError("tile_datasets makes tf.data: set KERAS_BACKEND=tensorflow")
    batch_size, seed = plain((batch_size, seed))
    check_number("batch_size", batch_size, low=1, whole=True)
    check_number("seed", seed, low=0, whole=True)
    check_augment(augment)
    import tensorflow as tf

    parts = make_parts(tiles, make_split(tiles, split, seed))
    passes = itertools.count()
    number = tf.data.Dataset.from_generator(  # each time that it is iterated, the next one
        lambda: [next(passes)], output_signature=tf.TensorSpec((), tf.int64)
    )
    train = _epochs(parts["train"], number, batch_size, seed, augment)
    steps = parts["train"].steps(batch_size)
    train = train.apply(tf.data.experimental.assert_cardinality(steps))
    return train, *(scoring_batches(parts[name], batch_size) for name in PARTS[1:])


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the training tiles in one epoch: a function of (seed, epoch) alone.

    >>> epoch_order(4, seed=0, epoch=1).tolist() == epoch_order(4, seed=0, epoch=1).tolist()
    True
    """
    return np.random.default_rng((seed, epoch)).permutation(count)


def training_batches(
    part: Part, *, batch_size: int, epochs: int, seed: int = 0, augment=(), start_epoch: int = 0
):
    """Shuffled, augmented batches (x, y, weight) of the epochs from `start_epoch` on, for `fit`.

    With TensorFlow it is one tf.data.Dataset that runs through all epochs without a break, so `fit`
    needs `steps_per_epoch`. With another backend it is a PyDataset of one epoch, which moves on to
    the next epoch when one ends.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> part = Part(tiles, np.arange(12), tiles.spec)
    >>> x, y, w = next(iter(training_batches(part, batch_size=4, epochs=1)))
    >>> x.shape
    TensorShape([4, 32, 32, 4])
    """
    if not _use_tensorflow():
        return _py_dataset(part, batch_size, start_epoch, seed, augment)
    import tensorflow as tf

    # One iterator for the whole training: destroying one each epoch stalls tf.data's autotuner.
    numbers = tf.data.Dataset.range(start_epoch, epochs)
    return _epochs(part, numbers, batch_size, seed, augment)


def scoring_batches(part: Part, batch_size: int):
    """Batches in order, not augmented, for validation during training.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> part = Part(tiles, np.arange(12), tiles.spec)
    >>> [len(x) for x, y, w in scoring_batches(part, batch_size=8)]
    [8, 4]
    """
    if not _use_tensorflow():
        return _py_dataset(part, batch_size, None)
    import tensorflow as tf

    load, stacked = _loader(part), _fused(part._batch)
    positions = tf.data.Dataset.range(len(part)).batch(batch_size)
    return _finished(positions, lambda p: stacked(load(p)))


def calibration_batches(part: Part, seed: int = 0):
    """Inputs (B, H, W, C) of up to 256 tiles of a part in batches of 16, not augmented.

    For `reestimate_batch_norm`. The tiles are drawn by the seed, the same at every call.
    """
    chosen = epoch_order(len(part), seed, 0)[:CALIBRATION_TILES]
    for start in range(0, len(chosen), CALIBRATION_BATCH):
        yield part.arrays(chosen[start : start + CALIBRATION_BATCH])[0]


def _use_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


def _epochs(part: Part, numbers, batch_size: int, seed: int, names):
    """Batches of the epochs in `numbers`, a dataset; Python draws their order, once an epoch."""
    import tensorflow as tf

    def shuffled(epoch):
        order, drawn = tf.numpy_function(
            lambda e: (epoch_order(len(part), seed, int(e)), draw(len(part.tiles), seed, int(e))),
            [epoch],
            (tf.int64, tf.float32),
        )
        order = tf.ensure_shape(order, [len(part)])
        drawn = tf.ensure_shape(drawn, [len(part.tiles), DRAWS])
        drawn = tf.gather(drawn, tf.gather(part.indices, order))
        return tf.data.Dataset.from_tensor_slices((order, drawn)).batch(batch_size)

    load = _loader(part)
    changed = _fused(lambda raw, drawn: augment(*part._batch(raw), drawn, names))
    return _finished(numbers.flat_map(shuffled), lambda p, drawn: changed(load(p), drawn))


def _loader(part: Part):
    """A function from positions to raw arrays, as TensorFlow operations.

    Arrays in memory are tensors; those on disk (`cache`) stay there and are read batch by batch.
    """
    import tensorflow as tf

    arrays = {name: getattr(part.tiles, name) for name in _ARRAYS}
    lazy = any(isinstance(array, np.memmap) for array in arrays.values())
    indices = part.indices if lazy else np.arange(len(part))
    with tf.device("cpu"):
        if not lazy:  # a copy of the part's tiles alone
            tensors = {name: tf.constant(array[part.indices]) for name, array in arrays.items()}
        indices = tf.constant(indices, tf.int64)

    def take(name, rows):
        if not lazy:
            return tf.gather(tensors[name], rows)
        array = arrays[name]
        found = tf.numpy_function(lambda r: array[r], [rows], array.dtype)
        return tf.ensure_shape(found, (None, *array.shape[1:]))

    return lambda positions: part._gather(take, positions, indices)


def _fused(function):
    """`function` compiled by XLA: one pass over memory instead of one for each operation, about
    three times as fast. TensorFlow for Windows comes without XLA."""
    import tensorflow as tf

    return tf.function(function, jit_compile=sys.platform != "win32")


def _finished(positions, function):
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False  # it stalls for seconds when an iterator is destroyed
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = positions.map(function, num_parallel_calls=2, deterministic=True)
    return batches.prefetch(2).with_options(options)


def _py_dataset(part: Part, batch_size: int, start_epoch: int | None, seed: int = 0, names=()):
    class TileBatches(keras.utils.PyDataset):
        """Batches by number; shuffled and augmented by epoch where `start_epoch` is given."""

        def __init__(self):
            super().__init__(workers=1, use_multiprocessing=False)
            self.epoch = start_epoch

        def __len__(self):
            return part.steps(batch_size)

        def __getitem__(self, step):
            here = slice(step * batch_size, (step + 1) * batch_size)
            if self.epoch is None:
                return part.arrays(np.arange(len(part))[here])
            positions = epoch_order(len(part), seed, self.epoch)[here]
            drawn = draw(len(part.tiles), seed, self.epoch)[part.indices[positions]]
            changed = augment(*part.arrays(positions), drawn, names)
            return tuple(keras.ops.convert_to_numpy(array) for array in changed)

        def on_epoch_end(self):
            if self.epoch is not None:
                self.epoch += 1

    return TileBatches()
