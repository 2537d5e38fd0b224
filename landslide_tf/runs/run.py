"""A complete run: its model and options, loaded to predict."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.console import say
from landslide_tf.data.dataset import model_input
from landslide_tf.data.raster import Raster, resize_bilinear, resize_nearest
from landslide_tf.data.tile import check_fit, make_tile
from landslide_tf.files import sha256
from landslide_tf.models.probability import PREDICT_BATCH, onnx_session, predict_probability
from landslide_tf.runs.model_file import load_model
from landslide_tf.training.run_folder import is_complete, read_config, read_split_and_metrics


@dataclass(frozen=True)
class Run:
    """A complete run: its options, model, split, scores, and `predict`.

    >>> run = load_run("runs/first")
    >>> image, dem = np.zeros((50, 70, 3), "uint8"), np.zeros((50, 70))
    >>> probability = run.predict(image, dem)
    >>> probability.shape, run.config.model
    ((50, 70), 'unet')
    """

    folder: Path
    config: TrainConfig
    model: object  # keras.Model: (B, H, W, C) float32 -> logits (B, H, W, 1) float32
    split: dict
    metrics: dict

    @property
    def threshold(self) -> float:
        """The threshold chosen on the validation part."""
        return self.metrics["thresholds"]["chosen"]

    @property
    def dem_statistics(self) -> tuple[float, float] | None:
        """Mean and deviation of the training part's DEM, where the run normalises by them."""
        statistics = self.metrics.get("dem_statistics")
        return tuple(statistics) if statistics else None

    def predict(self, image, dem=None, *, resolution_m=None):
        """Probability of landslide for one tile or a batch, at the tile's own size.

        Args:
            image: (h, w, 3) or (B, h, w, 3), unscaled as in the training files (uint8, uint16 or
                float); NaN is no data.
            dem: (h', w') or (B, h', w') in metres over the same ground, NaN is no data. Required
                unless the run's fusion is 'rgb', where it is ignored.
            resolution_m: metres per image pixel, where the run has terrain channels.

        Returns:
            float32 (h, w) or (B, h, w), NaN where image or DEM has no data.

        Raises:
            InputError: shapes that do not fit, or no DEM where the model needs one.
        """
        image = np.asarray(image)
        if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
            raise InputError(f"`image` must be (h, w, 3) or (B, h, w, 3). Received {image.shape}")
        if self.config.fusion == "rgb":
            dem = None
        elif dem is None:
            raise InputError(f"this model (fusion {self.config.fusion!r}) needs `dem`")
        single = image.ndim == 3
        images = image[None] if single else image
        dems = [None] * len(images)
        if dem is not None:
            dems = np.asarray(dem)[None] if single else np.asarray(dem)
            if dems.ndim != 3 or len(dems) != len(images):
                raise InputError(
                    f"`dem` must be (h, w) for one image, (B, h, w) for a batch. "
                    f"Received {np.shape(dem)} for image {image.shape}"
                )
        pairs = []
        for image, dem in zip(images, dems, strict=True):
            raster = Raster(image, np.isfinite(image).all(axis=-1))
            height = None if dem is None else Raster(dem[..., None], np.isfinite(dem))
            if height is not None:
                check_fit(raster, height, "image", "dem")
            pairs.append((raster, height))
        result = np.stack(self.predict_rasters(pairs, resolution_m=resolution_m))
        return result[0] if single else result

    def predict_rasters(self, pairs, *, resolution_m=None) -> list[np.ndarray]:
        """`predict` for pairs (image, DEM or None) of rasters as read from files: float32 (h, w)
        of each image's size."""
        result = []
        for start in range(0, len(pairs), PREDICT_BATCH):
            batch = pairs[start : start + PREDICT_BATCH]
            x = np.stack([self.input(*pair, resolution_m=resolution_m) for pair in batch])
            probability = predict_probability(self.model, x)
            result += [self.restore(p, *pair) for p, pair in zip(probability, batch, strict=True)]
        return result

    def input(self, image: Raster, dem: Raster | None, *, resolution_m=None):
        """The model's input (H, W, C) for rasters as read from files."""
        config = self.config
        if resolution_m is not None:
            config = dataclasses.replace(config, resolution_m=resolution_m)
        tile = make_tile(image, dem, None, config)
        return model_input(
            tile.rgb, tile.dem, tile.terrain, tile.input_valid, config, self.dem_statistics
        )

    def restore(self, probability, image: Raster, dem: Raster | None):
        """The model's probability (H, W) at the image's size, NaN where a raster has no data."""
        full, _ = resize_bilinear(probability[..., None], image.size)
        valid = image.valid
        if dem is not None:
            valid = valid & resize_nearest(dem.valid, image.size)
        return np.where(valid, full[..., 0], np.float32(np.nan))


def _use_onnx(folder: Path, model) -> None:
    """Predict through RUN_DIR/export/onnx, where it is of this model and its runtime installed."""
    from importlib.util import find_spec

    path = folder / "export" / "onnx" / "model.onnx"
    card = path.with_name("model-card.json")
    if not (path.is_file() and card.is_file() and find_spec("onnxruntime")):
        return
    try:
        facts = json.loads(card.read_text())
        if facts["model_sha256"] != sha256(folder / "model.keras"):
            return  # of a model that was there before
        if facts["files"][path.name] != sha256(path):
            raise ValueError("it is not the file that was exported")
        session = onnx_session(path)
    except Exception as error:  # only a faster way to the same numbers: go without it
        say(f"{path}: is not used ({str(error).splitlines()[0][:80]}); export it again")
        return
    object.__setattr__(model, "_landslide_onnx", session)


def load_run(path, *, onnx: bool = True) -> Run:
    """The complete run in a folder, ready to predict.

    With `onnx`, an ONNX export in the folder that is of this very model predicts in its place
    (where onnxruntime is installed): the same to 1e-5, and faster.

    Raises:
        InputError: no run there, or one that is not complete.

    >>> run = load_run("runs/first")
    >>> image, dem = np.zeros((50, 70, 3), "uint8"), np.zeros((50, 70))  # RGB and metres
    >>> run.predict(image, dem).shape
    (50, 70)
    """
    folder = Path(path)
    config = read_config(folder)
    if not is_complete(folder):
        raise InputError(f"{folder}: the run is not complete; continue it with --resume")
    model = load_model(folder / "model.keras")
    if onnx:
        _use_onnx(folder, model)
    return Run(
        folder,
        config,
        model,
        *read_split_and_metrics(folder),
    )
