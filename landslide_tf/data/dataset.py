"""Batches for training and scoring: as a tf.data pipeline, and as NumPy arrays for any backend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import DEM_SOURCES, TrainConfig
from landslide_tf.data.arrays import Tiles
from landslide_tf.data.augment import augment
from landslide_tf.data.channels import normalise_dem, stack_channels

CALIBRATION_TILES, CALIBRATION_BATCH = 256, 16


@dataclass(frozen=True)
class Part:
    """A part of a data set as the model sees it: normalised and stacked, tile by tile.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> config = TrainConfig(data="tiles", tile_px=32)
    >>> part = Part(load_tiles("tiles", config), np.arange(12), config)
    >>> x, y, w = part.arrays([0, 1])
    >>> x.shape, y.shape, len(part), part.steps(batch_size=5)
    ((2, 32, 32, 4), (2, 32, 32, 1), 12, 3)
    """

    tiles: Tiles
    indices: np.ndarray  # which tiles
    config: TrainConfig
    dem_statistics: tuple[float, float] | None = None  # for dem_normalisation 'dataset'
    # Whose DEM (and terrain) a tile gets: its 'own', 'zero', or that of 'others', the tile half the
    # part further on. Scores with the last two say how much a model makes of the DEM.
    dem: str = "own"

    def __post_init__(self):
        check_choice("dem", self.dem, DEM_SOURCES)
        if self.dem != "own" and self.config.fusion == "rgb":
            raise InputError(f"`dem` {self.dem!r} needs a model that reads the DEM, not fusion rgb")

    def __len__(self) -> int:
        return len(self.indices)

    def steps(self, batch_size: int) -> int:
        """Batches in one pass; the last may be smaller."""
        return math.ceil(len(self) / batch_size)

    def arrays(self, positions, epoch: int | None = None):
        """x (B, H, W, C), y and w (B, H, W, 1), float32, of the tiles at `positions`.

        w is 1 where all files have data, else 0. With `epoch` given and `config.augment` on,
        tiles are augmented by (seed, epoch, tile).
        """
        batch = [self._one(position, epoch) for position in positions]
        return tuple(np.stack(arrays) for arrays in zip(*batch, strict=True))

    def _one(self, position, epoch):
        tiles, config = self.tiles, self.config
        i = self.indices[position]
        x = self._input(i)
        if self.dem != "own":
            other = self._input(self.indices[(position + len(self) // 2) % len(self)])
            has_data = tiles.input_valid[i][..., None]
            x[..., 3:] = other[..., 3:] * has_data if self.dem == "others" else 0
        y = tiles.mask[i][..., None].astype("float32")
        w = tiles.valid[i][..., None].astype("float32")
        if epoch is not None and config.augment:
            x, y, w = augment(x, y, w, (config.seed, epoch, int(i)))
        return x, y, w

    def _input(self, i):
        tiles = self.tiles
        valid = tiles.image_valid if self.config.fusion == "rgb" else tiles.input_valid
        return model_input(
            tiles.rgb[i], tiles.dem[i], tiles.terrain[i], valid[i], self.config, self.dem_statistics
        )


def model_input(rgb, dem, terrain, input_valid, config: TrainConfig, dem_statistics=None):
    """The input (H, W, C) of the model for one tile; all channels are 0 where one has no data.

    `input_valid` (H, W) is where all that the model reads has data: the image alone for 'rgb'.

    >>> rgb, dem, valid = np.ones((8, 8, 3)), np.zeros((8, 8)), np.ones((8, 8), bool)
    >>> model_input(rgb, dem, None, valid, TrainConfig()).shape
    (8, 8, 4)
    """
    if config.fusion == "rgb":
        x = stack_channels(rgb)
    else:
        dem = normalise_dem(dem, input_valid, config.dem_normalisation, dem_statistics)
        x = stack_channels(rgb, dem, terrain if config.terrain else None)
    return np.where(input_valid[..., None], x, np.float32(0))


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the training tiles in one epoch: a function of (seed, epoch) alone.

    >>> epoch_order(4, seed=0, epoch=1).tolist() == epoch_order(4, seed=0, epoch=1).tolist()
    True
    """
    return np.random.default_rng((seed, epoch)).permutation(count)


def dem_statistics(tiles: Tiles, indices) -> tuple[float, float]:
    """Mean and deviation in metres of all valid DEM pixels of the tiles at `indices`.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", TrainConfig(data="tiles", tile_px=32))
    >>> mean, deviation = dem_statistics(tiles, [0, 1])
    >>> mean == float(tiles.dem[:2].mean())
    True
    """
    count, total, squares = 0, 0.0, 0.0
    for i in indices:  # one tile at a time: the arrays may be larger than memory
        z = tiles.dem[i][tiles.input_valid[i]].astype("float64")
        count, total, squares = count + z.size, total + z.sum(), squares + np.square(z).sum()
    mean = total / max(count, 1)
    return float(mean), float(math.sqrt(max(0.0, squares / max(count, 1) - mean**2)))


def training_batches(part: Part, start_epoch: int = 0):
    """Shuffled batches of all epochs from `start_epoch` on, for `model.fit`.

    A tf.data.Dataset that runs on through the epochs (give `steps_per_epoch`), or, where
    TensorFlow is not installed or not the backend, a PyDataset of one epoch after the other.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> config = TrainConfig(data="tiles", tile_px=32, batch_size=4)
    >>> part = Part(load_tiles("tiles", config), np.arange(12), config)
    >>> x, y, w = next(iter(training_batches(part)))
    >>> x.shape
    TensorShape([4, 32, 32, 4])
    """
    config = part.config
    if not _use_tensorflow():
        return _py_dataset(part, config.batch_size, start_epoch)
    import tensorflow as tf

    def epoch_batches(epoch):
        order = tf.numpy_function(
            lambda e: epoch_order(len(part), config.seed, int(e)), [epoch], tf.int64
        )
        order = tf.ensure_shape(order, [len(part)])
        batches = tf.data.Dataset.from_tensor_slices(order).batch(config.batch_size)
        return batches.map(lambda positions: (positions, epoch))

    # One iterator for the whole training: destroying one each epoch stalls tf.data's autotuner.
    epochs = tf.data.Dataset.range(start_epoch, config.epochs)
    return _with_arrays(epochs.flat_map(epoch_batches), part, augmented=True)


def scoring_batches(part: Part, batch_size: int):
    """Batches in order, not augmented, for validation during training.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> config = TrainConfig(data="tiles", tile_px=32)
    >>> part = Part(load_tiles("tiles", config), np.arange(12), config)
    >>> [len(x) for x, y, w in scoring_batches(part, batch_size=8)]
    [8, 4]
    """
    if not _use_tensorflow():
        return _py_dataset(part, batch_size, None)
    import tensorflow as tf

    positions = tf.data.Dataset.range(len(part)).batch(batch_size)
    positions = positions.map(lambda p: (p, tf.constant(-1, tf.int64)))
    return _with_arrays(positions, part, augmented=False)


def calibration_batches(part: Part):
    """Inputs (B, H, W, C) of up to 256 tiles of a part in batches of 16, not augmented.

    For `reestimate_batch_norm`. The tiles are drawn by the run's seed, the same at every call.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> config = TrainConfig(data="tiles", tile_px=32)
    >>> part = Part(load_tiles("tiles", config), np.arange(12), config)
    >>> [len(x) for x in calibration_batches(part)]
    [12]
    """
    chosen = epoch_order(len(part), part.config.seed, 0)[:CALIBRATION_TILES]
    for start in range(0, len(chosen), CALIBRATION_BATCH):
        yield part.arrays(chosen[start : start + CALIBRATION_BATCH])[0]


def _use_tensorflow() -> bool:
    import keras

    return keras.backend.backend() == "tensorflow"


def _with_arrays(positions, part: Part, augmented: bool):
    import tensorflow as tf

    px, channels = part.config.tile_px, part.config.channels

    def load(p, epoch):
        x, y, w = tf.numpy_function(
            lambda p, e: part.arrays(p, int(e) if augmented else None),
            [p, epoch],
            (tf.float32, tf.float32, tf.float32),
        )
        x = tf.ensure_shape(x, (None, px, px, channels))
        y, w = (tf.ensure_shape(array, (None, px, px, 1)) for array in (y, w))
        return x, y, w

    options = tf.data.Options()
    options.autotune.enabled = False  # it stalls for seconds when an iterator is destroyed
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return positions.map(load).prefetch(2).with_options(options)


def _py_dataset(part: Part, batch_size: int, start_epoch: int | None):
    import keras

    class TileBatches(keras.utils.PyDataset):
        """Batches by number; shuffled and augmented by epoch where `start_epoch` is given."""

        def __init__(self):
            super().__init__(workers=1, use_multiprocessing=False)
            self.epoch = start_epoch

        def __len__(self):
            return part.steps(batch_size)

        def __getitem__(self, step):
            positions = np.arange(len(part))
            if self.epoch is not None:
                positions = epoch_order(len(part), part.config.seed, self.epoch)
            positions = positions[step * batch_size : (step + 1) * batch_size]
            return part.arrays(positions, self.epoch)

        def on_epoch_end(self):
            if self.epoch is not None:
                self.epoch += 1

    return TileBatches()
