"""A complete run: its model and options, loaded to predict."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import TrainConfig
from landslide_tf.data.raster import Raster
from landslide_tf.data.tile import size_rasters
from landslide_tf.data.tile_rules import check_fit
from landslide_tf.files import sha256
from landslide_tf.inputs import InputSpec
from landslide_tf.inputs.resize import resize_bilinear, resize_nearest
from landslide_tf.inputs.traced import TracedPreprocessor
from landslide_tf.models import any_size
from landslide_tf.models.model_file import load_model
from landslide_tf.models.probability import PREDICT_BATCH, OnnxPredictor, Predictor
from landslide_tf.training.packaged import find_run
from landslide_tf.training.run_folder import is_complete, read_config, read_split_and_metrics

RUNTIMES = ("keras", "onnx")
# Options of `train` that are fixed for a finished run, and how to change the files instead.
REPAIRS = {
    "--nodata": "gdal_edit -a_nodata, which takes one value",
    "--rgb-scale": "gdal_translate -ot Byte -scale LOW HIGH 0 255",
    "--bands": "gdal_translate -b RED -b GREEN -b BLUE, by their numbers",
}


@dataclass(frozen=True, repr=False)
class Run:
    """A complete run, as `load_run` gives it: its options, model, split, scores, and `predict`."""

    folder: Path
    config: TrainConfig
    spec: InputSpec  # how rasters become the model's input
    model: object  # keras.Model: (B, H, W, C) float32 -> logits (B, H, W, 1) float32
    predictor: Callable  # (B, H, W, C) float32 -> probability (B, H, W) float32
    split: dict
    metrics: dict

    def __repr__(self) -> str:
        config, test = self.config, self.metrics.get("test") or {}
        score = f", test mIoU {test['miou']:.3f}" if test.get("miou") is not None else ""
        return (
            f"<Run {self.folder}: {config.model}, attention {config.attention}, "
            f"{config.resolved_loss}, {' '.join(self.spec.channel_names)} at "
            f"{self.spec.tile_px} px{score}>"
        )

    @property
    def threshold(self) -> float:
        """The threshold chosen on the validation part."""
        return self.metrics["thresholds"]["chosen"]

    @property
    def sees_locally(self) -> bool:
        """Whether the probability of a pixel stays the same in windows larger than training tiles.

        False if the model looks at the whole window (channel attention), or if elevation is
        normalised in each window ('relief', 'zscore').
        """
        spec = self.spec
        alike = not spec.uses_dem or spec.dem_normalisation == "dataset"
        return alike and any_size.sees_locally(self.model)

    def at_window(self, window_px: int) -> Run:
        """The run for windows of another size, in pixels of the model; see `sees_locally`."""
        if window_px == self.spec.tile_px:
            return self
        return dataclasses.replace(
            self,
            spec=dataclasses.replace(self.spec, tile_px=window_px),
            predictor=any_size.predictor_at(self.model, window_px),
        )

    def predict(self, image, dem=None, *, resolution_m=None):
        """Probability of landslide for one tile or a batch, at the tile's own size.

        Args:
            image: (h, w, 3) or (B, h, w, 3), unscaled as in the training files (uint8, uint16 or
                float). NaN is no data, and so is what a NumPy masked array masks.
            dem: (h', w') or (B, h', w') in metres over the same ground; no data as in the image.
                Required unless the run's fusion is 'rgb', where it is ignored.
            resolution_m: metres per image pixel, where the run has terrain channels.

        Returns:
            float32 (h, w) or (B, h, w), NaN where image or DEM has no data.

        Raises:
            InputError: shapes that do not fit, no DEM where the model needs one, or an image that
                does not say what becomes 1 (a float beyond 1, an integer of more than 16 bits).
        """
        masked, image = np.ma.getmaskarray(image), np.asarray(image)
        if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
            raise InputError(f"`image` must be (h, w, 3) or (B, h, w, 3). Received {image.shape}")
        if not self.spec.uses_dem:
            dem = None
        elif dem is None:
            raise InputError(f"this model (fusion {self.spec.fusion!r}) needs `dem`")
        single = image.ndim == 3
        images, masked = (image[None], masked[None]) if single else (image, masked)
        dems = [None] * len(images)
        if dem is not None:
            if np.ma.isMaskedArray(dem):
                dem = dem.astype("float64").filled(np.nan)
            dems = np.asarray(dem)[None] if single else np.asarray(dem)
            if dems.ndim != 3 or len(dems) != len(images):
                raise InputError(
                    f"`dem` must be (h, w) for one image, (B, h, w) for a batch. "
                    f"Received {np.shape(dem)} for image {image.shape}"
                )
        pairs = []
        for image, hidden, dem in zip(images, masked, dems, strict=True):
            raster = Raster(image, (np.isfinite(image) & ~hidden).all(axis=-1))
            height = None if dem is None else Raster(dem[..., None], np.isfinite(dem))
            if height is not None:
                check_fit(raster, height, "image", "dem")
            pairs.append((raster, height))
        result = np.stack(self.predict_rasters(pairs, resolution_m=resolution_m))
        return result[0] if single else result

    def predict_rasters(self, pairs, *, resolution_m=None) -> list[np.ndarray]:
        """`predict` for pairs (image, DEM or None) of rasters as they are read from files.

        Returns float32 (h, w) of each image's size.
        """
        result = []
        for start in range(0, len(pairs), PREDICT_BATCH):
            batch = pairs[start : start + PREDICT_BATCH]
            probability = self.predictor(self.inputs(batch, resolution_m=resolution_m))
            result += [self.restore(p, *pair) for p, pair in zip(probability, batch, strict=True)]
        return result

    def inputs(self, pairs, *, resolution_m=None) -> np.ndarray:
        """The model's input (B, H, W, C) for pairs (image, DEM or None) of rasters."""
        spec = self.spec
        if resolution_m is not None:
            spec = dataclasses.replace(spec, resolution_m=resolution_m)
        x, _ = TracedPreprocessor(spec).stack(size_rasters(pairs, spec))
        return np.asarray(x)

    def restore(self, probability, image: Raster, dem: Raster | None):
        """The model's probability (H, W) at the image's size, NaN where a raster has no data."""
        if probability.shape != image.size:
            full, _ = resize_bilinear(probability[None, ..., None], image.size)
            probability = np.asarray(full)[0, ..., 0]
        valid = image.valid
        if dem is not None and dem.size == image.size:
            valid = valid & dem.valid
        elif dem is not None:
            known = resize_nearest(dem.valid[None, ..., None], image.size)
            valid = valid & np.asarray(known)[0, ..., 0]
        return np.where(valid, probability, np.float32(np.nan))


def load_run(path: str | Path, *, runtime: str = "keras") -> Run:
    """The complete run in a folder, or a packaged model, ready to predict.

    Args:
        path: the run's folder, or the name of a packaged model (`landslide models`).
        runtime: 'keras', or 'onnx' for the ONNX export in PATH/export/onnx, where `export_run`
            writes it: the same probabilities to 1e-4, two to three times as fast on a CPU for
            small models.

    Raises:
        InputError: no run there, one that is not complete, or no ONNX export of this very model.

    >>> run = load_run("runs/first")
    >>> image, dem = np.zeros((50, 70, 3), "uint8"), np.zeros((50, 70))  # RGB and metres
    >>> run.predict(image, dem).shape
    (50, 70)
    """
    check_choice("runtime", runtime, RUNTIMES)
    folder = find_run(path)
    config = read_config(folder)
    if not is_complete(folder):
        raise InputError(f"{folder}: the run is not complete; continue it with --resume")
    spec = InputSpec.load(folder)
    split, metrics = read_split_and_metrics(folder)
    model = load_model(folder / "model.keras")
    return Run(
        folder=folder,
        config=config,
        spec=spec,
        model=model,
        predictor=Predictor(model) if runtime == "keras" else _onnx_predictor(path, folder),
        split=split,
        metrics=metrics,
    )


def for_a_run(line: str) -> str:
    """Add to a message how to repair the files, if it advises an option of `train`.

    The options of a finished run are fixed, so `predict` and `evaluate` cannot take that advice.

    >>> for_a_run("the DEM holds the value 0; give --nodata=0")
    'the DEM holds the value 0; give --nodata=0 (an option of train; here mend the files: ...'
    >>> for_a_run("odd")
    'odd'
    """
    for option, how in REPAIRS.items():
        if option in line:
            return f"{line} (an option of train; here mend the files: {how})"
    return line


def _onnx_predictor(run_dir, folder: Path) -> OnnxPredictor:
    path = Path(run_dir) / "export" / "onnx" / "model.onnx"
    again = f"export it again: landslide export {run_dir} --format onnx --overwrite"
    try:
        card = json.loads(path.with_name("model-card.json").read_text())
        model, file = card["model_sha256"], card["files"][path.name]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is missing or has no model card; {again}") from None
    if model != sha256(folder / "model.keras") or not path.is_file() or file != sha256(path):
        raise InputError(f"{path}: is not an export of this very model; {again}")
    return OnnxPredictor(path)
