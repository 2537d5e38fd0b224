"""The folder of a training run: what it holds, when it is complete, and how to load its model.

`config.json`, `split.json`, `environment.json`, `history.csv`, `model.keras`, `tile_scores.npz`
(pixel counts of the test tiles), figures, and `metrics.json`, which is written last: it exists only
when the run is complete. While a run is under way, `checkpoint/` holds its state.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.data.pipeline import model_input
from landslide_tf.data.raster import Raster, resize_bilinear, resize_nearest
from landslide_tf.data.tile import check_fit, make_tile
from landslide_tf.files import SCRATCH, sha256
from landslide_tf.model_file import load_model

PREDICT_BATCH = 8


def is_complete(folder) -> bool:
    """Whether the run in `folder` has ended and was scored.

    >>> is_complete("runs/first")
    True
    """
    return (Path(folder) / "metrics.json").is_file()


def is_run(folder) -> bool:
    """Whether `folder` holds a run, complete or not.

    >>> is_run("runs/first"), is_run("tiles")
    (True, False)
    """
    return (Path(folder) / "config.json").is_file()


def read_config(folder) -> TrainConfig:
    """The options of the run in `folder`; `InputError` where it holds none.

    >>> read_config("runs/first").model
    'unet'
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: is not a run folder (no config.json)")
    try:
        return TrainConfig.from_dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def run_name(config: TrainConfig) -> str:
    """Start of the name of a run folder that was not named: MODEL-ATTENTION-LOSS.

    >>> run_name(TrainConfig(model="unetpp", attention="contextual"))
    'unetpp-contextual-dice'
    """
    return f"{config.model}-{config.attention}-{config.resolved_loss}"


def choose_folder(config: TrainConfig, out, *, resume: bool, runs="runs") -> Path:
    """The run's folder: `out`, or the next free `runs/MODEL-ATTENTION-LOSS-NNN`.

    With `resume` and no `out`: the newest such folder with the same options, if there is one.

    >>> config = TrainConfig(model="unetpp", attention="contextual")
    >>> choose_folder(config, None, resume=False).name
    'unetpp-contextual-dice-001'
    """
    if out is not None:
        return Path(out)
    runs, start = Path(runs), run_name(config) + "-"
    taken = sorted(
        (p for p in runs.glob(f"{start}*") if p.name.removeprefix(start).isdigit()),
        key=lambda p: int(p.name.removeprefix(start)),
    )
    if resume:
        for folder in reversed(taken):
            if is_run(folder) and read_config(folder) == config:
                return folder
    number = int(taken[-1].name.removeprefix(start)) + 1 if taken else 1
    return runs / f"{start}{number:03d}"


def check_folder(folder: Path, config: TrainConfig, *, resume: bool, overwrite: bool) -> str:
    """What to do with the run's folder: 'start', 'continue' or 'done'.

    Raises:
        InputError: it holds a run that neither `resume` nor `overwrite` (exclusive) applies to, or
            other files, or a run of other options.

    >>> config = read_config("runs/first")
    >>> check_folder(Path("runs/first"), config, resume=True, overwrite=False)
    'done'
    >>> check_folder(Path("runs/second"), config, resume=True, overwrite=False)
    'start'
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give one of them")
    if not folder.exists() or (folder.is_dir() and all(map(_is_scratch, folder.iterdir()))):
        return "start"
    if not is_run(folder):
        raise InputError(f"{folder}: exists and is not a run folder; give another --out")
    if overwrite:
        return "start"
    state = "complete" if is_complete(folder) else "incomplete"
    if not resume:
        way = "--overwrite to replace it" if state == "complete" else (
            "--resume to continue it, --overwrite to start anew"
        )  # fmt: skip
        raise InputError(f"{folder}: holds a run that is {state}; give {way}, or another --out")
    stored = read_config(folder).to_dict()
    different = [
        f"{name} ({stored[name]!r} there, {value!r} now)"
        for name, value in config.to_dict().items()
        if stored[name] != value
    ]
    if different:
        raise InputError(
            f"{folder}: was started with other options: {', '.join(different)}; "
            "give the same, or another --out"
        )
    return "done" if state == "complete" else "continue"


def _is_scratch(path: Path) -> bool:
    return path.name.startswith(SCRATCH)


def clear_folder(folder: Path) -> None:
    """Make the folder of a run anew; it must hold a run or nothing.

    Raises:
        InputError: it cannot be made there.

    >>> clear_folder(Path("runs/second"))
    >>> Path("runs/second").is_dir()
    True
    """
    try:
        if folder.exists() and is_run(folder):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); give another --out"
        ) from None


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


def predict_probability(model, x):
    """Sigmoid of the model's logits: x (B, H, W, C) float32 -> (B, H, W) float32.

    By the fastest way that is exact: ONNX Runtime where `load_run` found an export of this very
    model, else a compiled function that any batch size can use.

    >>> run = load_run("runs/first")
    >>> predict_probability(run.model, np.zeros((2, 32, 32, 4), "float32")).shape
    (2, 32, 32)
    """
    x = np.ascontiguousarray(x, "float32")
    session = vars(model).get("_landslide_onnx")
    if session is not None:
        (probability,) = session.run(None, {session.get_inputs()[0].name: x})
        return probability[..., 0]
    logits = np.asarray(_logits(model)(x), "float32")[..., 0]
    # exp of a negative number only: no overflow on either side
    e = np.exp(-np.abs(logits))
    return (np.where(logits >= 0, 1, e) / (1 + e)).astype("float32")


def _logits(model):
    """A function from input to logits, compiled once a model (`predict` pays per call)."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    if "_landslide_logits" not in vars(model):
        import tensorflow as tf

        signature = [tf.TensorSpec(model.input_shape, tf.float32)]
        compiled = tf.function(lambda x: model(x, training=False), input_signature=signature)
        # past Keras, which would take it for a part of the model to be saved
        object.__setattr__(model, "_landslide_logits", compiled)
    return vars(model)["_landslide_logits"]


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
        from landslide_tf.export.formats import onnx_session

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
        json.loads((folder / "split.json").read_text()),
        json.loads((folder / "metrics.json").read_text()),
    )


def say(message: str) -> None:
    """One line for the user, at once.

    >>> say("split.json: 12 tiles")
    split.json: 12 tiles
    """
    print(message, file=sys.stdout, flush=True)
