"""Training: from a `TrainConfig` to a complete run folder, resumable at every epoch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.console import say, whole_streams
from landslide_tf.data.arrays import Tiles, ground_resolution_m, load_tiles
from landslide_tf.data.dataset import (
    Part,
    calibration_batches,
    make_parts,
    scoring_batches,
    training_batches,
)
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.split import PARTS, make_split, split_content, split_notes
from landslide_tf.files import read_json, remove_scratch, write_json
from landslide_tf.losses import inverse_frequency_weights, loss_from_name
from landslide_tf.losses.classes import LOSS_OPTIONS
from landslide_tf.metrics import AUCInValidation, SegmentationMetrics
from landslide_tf.models.model_file import check_config, load_model, save_model
from landslide_tf.models.probability import Predictor
from landslide_tf.models.registry import build_model, inference_model
from landslide_tf.models.weights import transfer_weights
from landslide_tf.training import evaluation, figures, run_folder
from landslide_tf.training.batch_norm import batch_norm_estimator, reestimate_batch_norm
from landslide_tf.training.environment import environment, gpu_available
from landslide_tf.training.recorder import Recorder, check_tensorboard, load_best, read_history
from landslide_tf.training.tile_scores import tile_scores

GAP_LIMIT = 0.02  # mIoU; an inference gap beyond it is worth a line


@dataclass(frozen=True)
class Extras:
    """What `fit` does besides training; none of it changes a number."""

    cache: str | Path | None = None  # folder for decoded tiles; None keeps them in memory
    tensorboard: bool = False  # also write a log to OUT/tensorboard
    command: list[str] | None = None  # recorded in environment.json


@dataclass(frozen=True)
class Given:
    """What a caller gave `fit` in place of, or beside, what the config says."""

    model: keras.Model | None
    source: keras.Model | None  # whose weights training starts from
    callbacks: Sequence[keras.callbacks.Callback]


@whole_streams()
def fit(
    config: TrainConfig,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    model: keras.Model | None = None,
    extras: Extras | None = None,
) -> Path:
    """Train and score one run; returns its folder. The command line uses the same engine.

    Args:
        config: what to compute. `config.data=None` is the built-in demo terrain.
        out: the run's folder; default the next free `runs/MODEL-ATTENTION-LOSS-NNN`.
        resume: continue an incomplete run; start where there is none; leave a complete one.
        overwrite: replace the run in `out`.
        callbacks: your own Keras callbacks, called before ours.
        model: your own functional model in place of the config's, from images of shape
            `config.input.shape` to logits (H, W, 1). Give it again to resume.
        extras: where to keep decoded tiles, and what to write besides.

    Raises:
        InputError: bad options or data; raised before the run's folder is made or changed.
        JobError: training failed on its way; the folder keeps the last good state.

    >>> config = run_folder.read_config("runs/first")  # or TrainConfig(data="tiles", model="unet")
    >>> fit(config, "runs/first", resume=True)  # would train, but this run is complete
    runs/first: complete, nothing to do
    PosixPath('runs/first')
    """
    extras = extras or Extras()
    if model is not None:
        _check_model(model, config)
    folder = run_folder.choose_folder(config, out, resume=resume)
    action = run_folder.check_folder(folder, config, resume=resume, overwrite=overwrite)
    if action == "done":
        say(f"{folder}: complete, nothing to do")
        return folder
    if extras.tensorboard:
        check_tensorboard()
    source = _read_source(config) if config.weights else None
    tiles = load_own_tiles(config, cache=extras.cache)
    for line in tiles.skipped:
        say(f"left out: {line}")
    for line in tiles.warnings:
        say(f"warning: {line}")
    parts = make_parts(tiles, make_split(tiles, config.split, config.seed))
    _check_parts(parts, config)
    resolution_m = ground_resolution_m(config.data or demo_folder(), parts["train"].spec)
    split = split_content({name: part.names for name, part in parts.items()}, tiles)
    for line in split_notes(split):
        say(line)
    policy = precision_policy(config)
    remove_scratch(folder)
    if action == "start" or not (folder / "split.json").exists():
        run_folder.clear_folder(folder)
        # The config first: it makes the folder a run, which can be continued or replaced.
        write_json(folder / "config.json", config.to_dict())
        parts["train"].spec.save(folder)
        write_json(
            folder / "environment.json",
            {**environment(extras.command), "dtype_policy": policy, "data_sha256": tiles.sha256},
        )
        write_json(folder / "split.json", split)
    elif read_json(folder / "split.json", run_folder.NEW_RUN) != split:
        raise InputError(
            f"{folder}: the data have changed since the run was started; restore them, "
            "or give --overwrite to start anew"
        )
    described = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    say(f"run folder {folder}: {described} tiles; {policy}")

    given = Given(model, source, callbacks)
    seconds = _train(config, parts, folder, policy, given, extras.tensorboard)
    facts = {"left_out": len(tiles.skipped), "resolution_m": resolution_m}
    _finish(config, parts, folder, seconds, model, facts)
    return folder


def _check_model(model: keras.Model, config: TrainConfig) -> None:
    """Raise `InputError` unless an own model fits the data and can be saved and opened again."""
    got, wanted = tuple(model.inputs[0].shape[1:]), config.input.shape
    if len(model.inputs) != 1 or any(
        a is not None and a != b for a, b in zip(got, wanted, strict=False)
    ):
        raise InputError(
            f"`model` takes {got}, the tiles are {wanted}; give one input of that shape"
        )
    if tuple(model.outputs[0].shape[1:]) not in ((*wanted[:2], 1), (None, None, 1)):
        raise InputError(
            f"`model` gives {tuple(model.outputs[0].shape[1:])}, expected logits {(*wanted[:2], 1)}"
        )
    check_config(json.loads(model.to_json()), "`model`")


def _read_source(config: TrainConfig) -> keras.Model:
    """The model of the run (or the file) that training starts from."""
    path = Path(config.weights)
    return load_model(path / "model.keras" if path.is_dir() else path)


def load_own_tiles(config: TrainConfig, cache=None) -> Tiles:
    """The tiles of a config's own data, or of the demo terrain."""
    return load_tiles(
        config.data or demo_folder(),
        config.input,
        negatives=config.negatives,
        skip_bad=config.skip_bad,
        cache=cache,
    )


def _check_parts(parts, config) -> None:
    for name in ("train", "validation"):
        if not any((parts[name].tiles.mask[i] > 0).any() for i in parts[name].indices):
            raise InputError(
                f"the {name} part has no landslide pixel; give more tiles or another --split"
            )
    if config.strategy == "mirrored" and keras.backend.backend() != "tensorflow":
        raise InputError("--strategy mirrored needs the TensorFlow backend of Keras")


def precision_policy(config: TrainConfig) -> str:
    """The Keras dtype policy in use: float16 needs a GPU, bfloat16 is what a CPU can do.

    >>> precision_policy(TrainConfig(mixed_precision="off"))
    'float32'
    """
    if config.mixed_precision == "off":
        return "float32"
    if gpu_available():
        return "mixed_float16"
    # float16 on a CPU is two orders of magnitude slower than float32
    return "mixed_bfloat16" if config.mixed_precision == "on" else "float32"


def build(config: TrainConfig, policy: str = "float32") -> keras.Model:
    """The (uncompiled) model of a config under a dtype policy.

    >>> build(TrainConfig(model="unet", filters=2).with_options(tile_px=32)).output_shape
    (None, 32, 32, 1)
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        # Compiled later: Keras scales the loss of a model whose own policy is float16.
        return build_model(
            config.model,
            attention=config.attention,
            fusion=config.input.fusion,
            filters=config.filters,
            dropout=config.dropout,
            dropout_levels=config.dropout_levels,
            input_shape=config.input.shape,
            deep_supervision=config.deep_supervision,
        )
    finally:
        keras.config.set_dtype_policy(before)


def compile_model(model: keras.Model, config: TrainConfig, train: Part) -> keras.callbacks.Callback:
    """Give a model the optimizer, the loss and the metrics that a run trains with.

    Returns a callback for `fit`: with it, training steps leave the AUC to validation.
    """
    metric = SegmentationMetrics()
    model.compile(
        optimizer=make_optimizer(config, train.steps(config.batch_size)),
        loss=make_loss(config, train),
        weighted_metrics=[metric],
        jit_compile="auto",
    )
    return AUCInValidation(metric)


def make_optimizer(config: TrainConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Adam, or AdamW where there is weight decay, with the config's learning rate over time.

    'cosine' falls from the learning rate to 0 over the whole training, after a linear rise over the
    warm-up epochs.

    >>> config = TrainConfig(epochs=10, learning_rate=1e-3, schedule="cosine", warmup_epochs=1)
    >>> rate = make_optimizer(config, steps_per_epoch=4)._learning_rate
    >>> [round(1e3 * float(rate(step)), 3) for step in (0, 2, 4, 22, 40)]  # rise, top, half, end
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    rate = config.learning_rate
    if config.schedule == "cosine":
        warmup = round(config.warmup_epochs * steps_per_epoch)
        total = config.epochs * steps_per_epoch
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            total - warmup,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    if config.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    return keras.optimizers.Adam(rate)


def make_loss(config: TrainConfig, train: Part) -> keras.losses.Loss:
    """The loss of a config; WCE's weights come from the training masks unless given.

    >>> make_loss(TrainConfig(loss="focal"), None).get_config()["focusing"]
    2.0
    """
    options = {name: getattr(config, name) for name in LOSS_OPTIONS}
    if "wce" in config.resolved_loss.split("+") and config.wce_weights is None:
        options["wce_weights"] = inverse_frequency_weights(*_class_px(train))
    return loss_from_name(config.resolved_loss, **options)


def _class_px(part: Part) -> tuple[int, int]:
    """Background and landslide pixels among the valid ones."""
    landslide = valid = 0
    for i in part.indices:
        landslide += int((part.tiles.mask[i][part.tiles.valid[i]] > 0).sum())
        valid += int(part.tiles.valid[i].sum())
    return valid - landslide, landslide


class _EstimateBatchNorm(keras.callbacks.Callback):
    """Estimates the batch-normalisation statistics anew before each validation."""

    def __init__(self, part: Part, seed: int):
        super().__init__()
        self.part, self.seed = part, seed

    def on_train_begin(self, logs=None):
        self.estimate = batch_norm_estimator(self.model)

    def on_test_begin(self, logs=None):
        self.estimate(calibration_batches(self.part, self.seed))


def _train(config, parts, folder, policy, given: Given, tensorboard: bool) -> float:
    """Run the epochs that are left; the best weights end up in the checkpoint. Returns seconds."""
    keras.utils.set_random_seed(config.seed)
    with _determinism(config), _scope(config):
        model = build(config, policy) if given.model is None else given.model
        auc = compile_model(model, config, parts["train"])
        model.optimizer.build(model.trainable_variables)
        if given.source is not None:
            say(f"weights of {config.weights}: {transfer_weights(model, given.source)}")
        recorder = Recorder(config, folder, tensorboard)
        recorder.restore(model)
        if recorder.finished:
            return recorder.seconds
        callbacks = [auc, *given.callbacks, recorder]
        if config.reestimate_batch_norm:
            callbacks.insert(0, _EstimateBatchNorm(parts["train"], config.seed))
        terminal = sys.stdout is not None and sys.stdout.isatty()
        model.fit(
            training_batches(
                parts["train"],
                batch_size=config.batch_size,
                epochs=config.epochs,
                seed=config.seed,
                augment=config.augment,
                start_epoch=recorder.epoch,
            ),
            epochs=config.epochs,
            initial_epoch=recorder.epoch,
            steps_per_epoch=parts["train"].steps(config.batch_size),
            # Batches as in training: the Dice loss is over all pixels of a batch, so that its value
            # depends on the batch size.
            validation_data=scoring_batches(parts["validation"], config.batch_size),
            validation_steps=parts["validation"].steps(config.batch_size),
            callbacks=callbacks,
            shuffle=False,  # the batches come shuffled
            verbose=1 if terminal else 2,
        )
    return recorder.seconds


@contextlib.contextmanager
def _determinism(config):
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    yield


def _scope(config):
    if config.strategy == "none":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy().scope()


def _finish(config, parts, folder, seconds, model, facts) -> None:
    """`model.keras` with the best weights in float32, scores, figures; then the checkpoint goes."""
    own = model is not None
    model = model if own else build(config)
    best_epoch = load_best(folder, model)
    model = inference_model(model)
    save_model(model, folder / "model.keras")
    rows = read_history(folder / "history.csv")
    figures.loss_curve(rows, best_epoch, folder / "loss.png")

    say("scoring the best epoch")
    predict = Predictor(model)
    predictions = {name: evaluation.predict_part(predict, parts[name]) for name in PARTS[1:]}
    normalisation = batch_norm_report(model, parts, config.seed)
    _say_gap(**normalisation)
    metrics = report(parts, predictions) | {"batch_norm": normalisation}
    shown = "test" if len(parts["test"]) else "validation"
    figures.prediction_grid(
        parts[shown],
        predictions[shown],
        metrics["thresholds"]["chosen"],
        folder / "predictions.png",
    )
    for part, file in ((shown, "tile_scores.npz"), ("validation", "validation_scores.npz")):
        p = predictions[part]
        tile_scores(parts[part].names, p.probability, p.mask, p.valid).save(folder / file)
    metrics |= {
        "best_epoch": best_epoch,
        "epochs": len(rows),
        "tiles": {name: len(part) for name, part in parts.items()}
        | {"left_out": facts["left_out"]},
        "seconds": {
            "training": round(seconds, 3),
            "per_epoch": round(seconds / len(rows), 3),
            "per_image": predictions[shown].seconds_per_image,
        },
        "parameters": model.count_params(),
        "resolution_m": facts["resolution_m"],
        "own_model": model.name if own else None,
    }
    write_json(folder / "metrics.json", metrics)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    say(evaluation.format_scores(table_rows(metrics)))
    say(f"done: {folder}{os.sep}")


def report(parts, predictions) -> dict:
    """The scores that `metrics.json` holds, from predictions of validation and test part.

    A part without tiles is None.

    >>> from landslide_tf.training.evaluation import predict_part
    >>> from landslide_tf.runs.run import load_run
    >>> run = load_run("runs/first")
    >>> tiles = load_tiles("tiles", run.spec)
    >>> parts = make_parts(tiles, make_split(tiles))
    >>> names = ("validation", "test")
    >>> scores = report(parts, {name: predict_part(run.predictor, parts[name]) for name in names})
    >>> scores["thresholds"]["chosen"] == run.threshold
    True
    """
    validation, test = predictions["validation"], predictions["test"]
    chosen = evaluation.choose_threshold(validation)
    has_test = len(parts["test"]) > 0
    return {
        "validation": evaluation.score(validation, 0.5),
        "test": evaluation.score(test, 0.5) if has_test else None,
        "test_chosen": evaluation.score(test, chosen) if has_test else None,
        "baseline": {
            "background": evaluation.background_baseline(test),
            "threshold": evaluation.threshold_baseline(parts["train"], parts["test"]),
        }
        if has_test
        else None,
        "thresholds": {"default": 0.5, "chosen": chosen},
    }


def _say_gap(train_miou, inference_gap, **_) -> None:
    if inference_gap > GAP_LIMIT:
        say(
            f"inference gap {inference_gap:.3f}: the model scores mIoU {train_miou:.3f} on its "
            f"training tiles, and {inference_gap:.3f} more with batch-normalisation statistics "
            "estimated anew; give --reestimate-batch-norm, or fewer --dropout-levels"
        )


def batch_norm_report(model, parts, seed: int = 0) -> dict:
    """How much the moving statistics of batch normalisation cost: the model as it is, beside itself
    with statistics estimated anew (`reestimate_batch_norm`). The model is left as it was.

    `inference_gap` is the difference of the mIoU on the training part, re-estimated minus as it is.
    `reestimated` holds the scores of validation and test part as `report` gives them.

    >>> from landslide_tf.runs.run import load_run
    >>> run = load_run("runs/first")
    >>> tiles = load_tiles("tiles", run.spec)
    >>> parts = make_parts(tiles, make_split(tiles))
    >>> found = batch_norm_report(run.model, parts)
    >>> gap = found["train_miou_reestimated"] - found["train_miou"]
    >>> gap == found["inference_gap"]
    True
    """
    before = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    predict = Predictor(model)
    as_it_is = evaluation.part_miou(predict, parts["train"])
    reestimate_batch_norm(model, calibration_batches(parts["train"], seed))
    try:
        reestimated = evaluation.part_miou(predict, parts["train"])
        predictions = {name: evaluation.predict_part(predict, parts[name]) for name in PARTS[1:]}
        scores = report(parts, predictions)
    finally:
        for variable, value in zip(model.non_trainable_variables, before, strict=True):
            variable.assign(value)
    return {
        "train_miou": as_it_is,
        "train_miou_reestimated": reestimated,
        "inference_gap": reestimated - as_it_is,
        "reestimated": {k: scores[k] for k in ("validation", "test", "test_chosen", "thresholds")},
    }


def table_rows(metrics: dict) -> dict[str, dict]:
    """Rows for `evaluation.format_scores` from the content of `metrics.json`.

    >>> metrics = read_json("runs/first/metrics.json", "restore it")
    >>> list(table_rows(metrics))
    ['validation', 'test', 'test, threshold ...', 'baseline background', 'baseline threshold']
    """
    chosen = metrics["thresholds"]["chosen"]
    rows = {
        "validation": metrics["validation"],
        "test": metrics["test"],
        f"test, threshold {chosen:.2f}": metrics["test_chosen"],
    }
    for name, scores in (metrics["baseline"] or {}).items():
        rows[f"baseline {name}"] = scores
    return {label: scores for label, scores in rows.items() if scores}
