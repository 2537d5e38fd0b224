"""Training: from a `TrainConfig` to a complete run folder, resumable at every epoch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.console import say, warn, whole_streams
from landslide_tf.data.arrays import Tiles, ground_resolution_m, load_tiles
from landslide_tf.data.dataset import (
    Part,
    calibration_batches,
    make_parts,
    scoring_batches,
    training_batches,
)
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.split import make_split, split_content
from landslide_tf.data.split_notes import split_notes
from landslide_tf.files import read_json, remove_scratch, write_json
from landslide_tf.models.model_file import check_config, load_model, save_model
from landslide_tf.models.registry import inference_model
from landslide_tf.models.weights import transfer_weights
from landslide_tf.training import evaluation, figures, run_folder
from landslide_tf.training.batch_norm import batch_norm_estimator
from landslide_tf.training.environment import environment
from landslide_tf.training.packaged import find_run
from landslide_tf.training.progress import Progress
from landslide_tf.training.recipe import build, compile_model, precision_policy
from landslide_tf.training.recorder import Recorder, check_tensorboard, load_best, read_history
from landslide_tf.training.scores import save_counts, say_gap, score_model, table_rows


@dataclass(frozen=True)
class Extras:
    """What `fit` does besides training; none of it changes a number."""

    cache: str | Path | None = None  # folder for decoded tiles; None keeps them in memory
    tensorboard: bool = False  # also write a log to OUT/tensorboard
    command: list[str] | None = None  # recorded in environment.json


@whole_streams()
def fit(
    config: TrainConfig,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] | keras.callbacks.Callback = (),
    model: keras.Model | None = None,
    extras: Extras | None = None,
) -> Path:
    """Train and score one run; returns its folder. The command line uses the same engine.

    Args:
        config: what to compute. `config.data=None` is the built-in demo terrain.
        out: the run's folder; default the next free `runs/MODEL-ATTENTION-LOSS-NNN`.
        resume: continue an incomplete run; start where there is none; leave a complete one.
        overwrite: replace the run in `out`.
        callbacks: your own Keras callbacks, called before the epoch is recorded.
        model: your own functional or Sequential model in place of the config's, from images of
            shape `config.input.shape` to logits (H, W, 1), without a sigmoid. It is compiled anew
            with the config's optimizer and loss. Give it again to resume.
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
    if not isinstance(config, TrainConfig):
        raise InputError(f"`config` must be a TrainConfig. Received: {config!r}")
    callbacks = keras.tree.flatten(callbacks or [])
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise InputError(f"`callbacks` must be Keras callbacks. Received: {callback!r}")
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
    warn(tiles.warnings)
    parts = make_parts(tiles, make_split(tiles, config.split, config.seed))
    _check_parts(parts, config)
    resolution_m = ground_resolution_m(config.data or demo_folder(), parts["train"].spec)
    split = split_content({name: part.names for name, part in parts.items()}, tiles)
    for line in split_notes(split, tiles):
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

    seconds = _train(config, parts, folder, policy, model, source, callbacks, extras.tensorboard)
    facts = {"left_out": len(tiles.skipped), "resolution_m": resolution_m}
    _finish(config, parts, folder, seconds, model, facts)
    return folder


def _check_model(model: keras.Model, config: TrainConfig) -> None:
    """Raise `InputError` unless an own model fits the data and can be saved and opened again."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise InputError(
            "`model` must be a functional Keras model, or a Sequential one with a keras.Input. "
            f"Received: {model!r}"
        )
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
    if _ends_in_sigmoid(model):
        raise InputError(
            "`model` ends in a sigmoid, and losses and scores take logits; leave the activation of "
            "its last layer out"
        )
    check_config(json.loads(model.to_json()), "`model`")


def _ends_in_sigmoid(model: keras.Model) -> bool:
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model) and getattr(last, "outputs", None):
        return _ends_in_sigmoid(last)
    activation = getattr(last, "activation", None)
    return activation is keras.activations.sigmoid or type(last).__name__ == "Sigmoid"


def _read_source(config: TrainConfig) -> keras.Model:
    """The model of the run, packaged model or file that training starts from."""
    path = Path(config.weights)
    return load_model(path if path.is_file() else find_run(path) / "model.keras")


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


class _EstimateBatchNorm(keras.callbacks.Callback):
    """Estimates the batch-normalisation statistics anew before each validation."""

    def __init__(self, part: Part, seed: int):
        super().__init__()
        self.part, self.seed = part, seed

    def on_train_begin(self, logs=None):
        try:
            self.estimate = batch_norm_estimator(self.model)
        except InputError as error:  # a model of the user's own
            say(f"validating with the moving averages of batch normalisation: {error}")
            self.estimate = None

    def on_test_begin(self, logs=None):
        if self.estimate:
            self.estimate(calibration_batches(self.part, self.seed))


def _train(config, parts, folder, policy, model, source, callbacks, tensorboard: bool) -> float:
    """Run the epochs that are left; the best weights end up in the checkpoint. Returns seconds.

    `model` is the caller's own or None, `source` the one whose weights training starts from.
    """
    keras.utils.set_random_seed(config.seed)
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    with _scope(config):
        model = build(config, policy) if model is None else model
        auc = compile_model(model, config, parts["train"])
        model.optimizer.build(model.trainable_variables)
        if source is not None:
            say(f"weights of {config.weights}: {transfer_weights(model, source)}")
        recorder = Recorder(config, folder, tensorboard)
        recorder.restore(model)
        if recorder.finished:
            return recorder.seconds
        steps = parts["train"].steps(config.batch_size)
        callbacks = [auc, *callbacks, recorder, Progress(recorder, steps)]
        if config.reestimate_batch_norm:
            callbacks.insert(0, _EstimateBatchNorm(parts["train"], config.seed))
        if config.ema:
            callbacks.insert(0, keras.callbacks.SwapEMAWeights())  # validation sees the averages
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
            steps_per_epoch=steps,
            # Batches as in training: the Dice loss is over all pixels of a batch, so that its value
            # depends on the batch size.
            validation_data=scoring_batches(parts["validation"], config.batch_size),
            validation_steps=parts["validation"].steps(config.batch_size),
            callbacks=callbacks,
            shuffle=False,  # the batches come shuffled
            verbose=0,
        )
    return recorder.seconds


def _scope(config):
    if config.strategy == "none":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy().scope()


def _finish(config, parts, folder, seconds, model, facts) -> None:
    """Write `model.keras` with the best weights in float32, scores and figures.

    The checkpoint is deleted last. `model` is the caller's own or None, `facts` go to the metrics.
    """
    own = model is not None
    model = model if own else build(config)
    best_epoch = load_best(folder, model)
    model = inference_model(model)
    save_model(model, folder / "model.keras")
    rows = read_history(folder / "history.csv")
    figures.loss_curve(rows, best_epoch, folder / "loss.png")

    say("scoring the best epoch")
    metrics, predictions = score_model(model, parts, config)
    if metrics["batch_norm"]:
        say_gap(**metrics["batch_norm"])
    shown = save_counts(folder, parts, predictions)
    chosen = metrics["thresholds"]["chosen"]
    figure = figures.prediction_figure(parts[shown], predictions[shown], chosen)
    figures.save(figure, folder / "predictions.png")
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
