"""Training: from a `TrainConfig` to a complete run folder, resumable at every epoch."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

import keras

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.console import say
from landslide_tf.data.arrays import Tiles, ground_resolution_m, load_tiles
from landslide_tf.data.dataset import (
    Part,
    calibration_batches,
    make_parts,
    scoring_batches,
    training_batches,
)
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.split import PARTS, make_split, split_content
from landslide_tf.files import atomic_path, read_json, remove_scratch, write_json
from landslide_tf.losses import LOSS_CLASSES, inverse_frequency_weights
from landslide_tf.metrics import SegmentationMetrics
from landslide_tf.models.probability import Predictor
from landslide_tf.models.registry import build_model, inference_model
from landslide_tf.training import evaluation, figures, run_folder
from landslide_tf.training.batch_norm import batch_norm_estimator, reestimate_batch_norm
from landslide_tf.training.environment import environment, gpu_available
from landslide_tf.training.recorder import Recorder, check_tensorboard, load_best, read_history
from landslide_tf.training.tile_scores import tile_scores

GAP_LIMIT = 0.02  # mIoU; an inference gap beyond it is worth a line


def fit(
    config: TrainConfig,
    out=None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    cache=None,
    tensorboard: bool = False,
    command: list[str] | None = None,
) -> Path:
    """Train and score one run; returns its folder (see `landslide_tf.runs.run`).

    Args:
        config: what to compute. `config.data=None` is the built-in demo terrain.
        out: the run's folder; default the next free `runs/MODEL-ATTENTION-LOSS-NNN`.
        resume: continue an incomplete run; start where there is none; leave a complete one.
        overwrite: replace the run in `out`.
        cache: folder for decoded tiles; default in memory.
        tensorboard: also write a log to `OUT/tensorboard`.
        command: recorded in `environment.json`.

    Raises:
        InputError: bad options or data; raised before the run's folder is made or changed.
        JobError: training failed on its way; the folder keeps the last good state.

    >>> config = run_folder.read_config("runs/first")  # or TrainConfig(data="tiles", model="unet")
    >>> fit(config, "runs/first", resume=True)  # would train, but this run is complete
    runs/first: complete, nothing to do
    PosixPath('runs/first')
    """
    folder = run_folder.choose_folder(config, out, resume=resume)
    action = run_folder.check_folder(folder, config, resume=resume, overwrite=overwrite)
    if action == "done":
        say(f"{folder}: complete, nothing to do")
        return folder
    if tensorboard:
        check_tensorboard()
    tiles = load_own_tiles(config, cache=cache)
    for line in tiles.skipped:
        say(f"left out: {line}")
    parts = make_parts(tiles, make_split(tiles, config.split, config.seed))
    _check_parts(parts, config)
    split = split_content({name: part.names for name, part in parts.items()}, tiles)
    policy = precision_policy(config)
    remove_scratch(folder)
    if action == "start" or not (folder / "split.json").exists():
        run_folder.clear_folder(folder)
        # The config first: it makes the folder a run, which can be continued or replaced.
        write_json(folder / "config.json", config.to_dict())
        parts["train"].spec.save(folder)
        write_json(
            folder / "environment.json",
            {**environment(command), "dtype_policy": policy, "data_sha256": tiles.sha256},
        )
        write_json(folder / "split.json", split)
    elif read_json(folder / "split.json", run_folder.NEW_RUN) != split:
        raise InputError(
            f"{folder}: the data have changed since the run was started; restore them, "
            "or give --overwrite to start anew"
        )
    described = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    say(f"run folder {folder}: {described} tiles; {policy}")

    seconds = _train(config, parts, folder, policy, tensorboard)
    _finish(config, parts, folder, seconds, len(tiles.skipped))
    return folder


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


def build(config: TrainConfig, policy: str = "float32", *, training: bool = False) -> keras.Model:
    """The (uncompiled) model of a config under a dtype policy.

    With `training` and deep supervision, its loss is the mean over all heads.

    >>> build(TrainConfig(model="unet", filters=2).with_options(tile_px=32)).output_shape
    (None, 32, 32, 1)
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_model(
            config.model,
            attention=config.attention,
            fusion=config.input.fusion,
            filters=config.filters,
            dropout=config.dropout,
            dropout_levels=config.dropout_levels,
            input_shape=config.input.shape,
            deep_supervision=config.deep_supervision,
        )
        # Built under the policy too: Keras scales the loss of a model whose policy is float16.
        if training and config.deep_supervision:
            model = _DeepSupervision(model.inputs, model.outputs, name=model.name)
        return model
    finally:
        keras.config.set_dtype_policy(before)


def compile_model(model: keras.Model, config: TrainConfig, train: Part) -> None:
    """Give a model the optimizer, the loss and the metrics that a run trains with."""
    model.compile(
        optimizer=make_optimizer(config, train.steps(config.batch_size)),
        loss=make_loss(config, train),
        weighted_metrics=[SegmentationMetrics()],
        jit_compile="auto",
    )


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
    name = config.resolved_loss
    arguments = {
        "focal": {
            "balance": config.focal_balance,
            "focusing": config.focal_focusing,
            "class_balanced": config.focal_class_balanced,
        },
        "dice": {"smooth": config.dice_smooth},
    }.get(name, {})
    if name == "wce":
        arguments["weights"] = config.wce_weights or inverse_frequency_weights(*_class_px(train))
    return LOSS_CLASSES[name](**arguments)


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


class _DeepSupervision(keras.Model):
    """Mean of the loss over all heads; metrics of the first, which is the one that is kept."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = [
            super(_DeepSupervision, self).compute_loss(x, y, logits, sample_weight, training)
            for logits in y_pred
        ]
        return sum(losses) / len(losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred[0], sample_weight)


def _train(config, parts, folder, policy, tensorboard) -> float:
    """Run the epochs that are left; the best weights end up in the checkpoint. Returns seconds."""
    keras.utils.set_random_seed(config.seed)
    with _determinism(config), _scope(config):
        model = build(config, policy, training=True)
        compile_model(model, config, parts["train"])
        model.optimizer.build(model.trainable_variables)
        recorder = Recorder(config, folder, tensorboard)
        recorder.restore(model)
        if recorder.finished:
            return recorder.seconds
        callbacks = [recorder]
        if config.reestimate_batch_norm:
            callbacks.insert(0, _EstimateBatchNorm(parts["train"], config.seed))
        terminal = sys.stdout.isatty()
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


def _finish(config, parts, folder, seconds, skipped) -> None:
    """`model.keras` with the best weights in float32, scores, figures; then the checkpoint goes."""
    model = build(config)
    best_epoch = load_best(folder, model)
    model = inference_model(model)
    with atomic_path(folder / "model.keras") as scratch:
        model.save(scratch)
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
    p = predictions[shown]
    tile_scores(parts[shown].names, p.probability, p.mask, p.valid).save(folder / "tile_scores.npz")
    metrics |= {
        "best_epoch": best_epoch,
        "epochs": len(rows),
        "tiles": {name: len(part) for name, part in parts.items()} | {"left_out": skipped},
        "seconds": {
            "training": round(seconds, 3),
            "per_epoch": round(seconds / len(rows), 3),
            "per_image": predictions[shown].seconds_per_image,
        },
        "parameters": model.count_params(),
        "resolution_m": ground_resolution_m(config.data or demo_folder(), parts["train"].spec),
    }
    write_json(folder / "metrics.json", metrics)
    shutil.rmtree(folder / "checkpoint")
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
