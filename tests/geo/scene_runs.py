"""Runs with hand-made weights."""

import json

import keras
import numpy as np
from rasterio.transform import from_origin

from landslide_tf.config import TrainConfig

WINDOW = 32
UTM = {"crs": "EPSG:32647", "transform": from_origin(470000, 3445000, 2, 2)}


def make_run(folder, kernel, bias, *, threshold=0.5, metrics=None, **config):
    """A complete run whose logits are kernel . channels + bias, pixel by pixel."""
    config = TrainConfig().with_options(**config, tile_px=WINDOW)
    x = keras.Input(config.input.shape)
    logits = keras.layers.Conv2D(1, 1, name="logits", dtype="float32")
    model = keras.Model(x, logits(x))
    logits.set_weights([np.reshape(kernel, (1, 1, -1, 1)), np.array([bias])])
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    metrics = {"thresholds": {"chosen": threshold}, **(metrics or {})}
    for name, content in (("config", config.to_dict()), ("split", {}), ("metrics", metrics)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    config.input.save(folder)
    return folder
