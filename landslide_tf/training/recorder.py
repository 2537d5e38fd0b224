"""What training writes after each epoch and reads again to continue: history, weights, state."""

from __future__ import annotations

import io
import json
import math
import time
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from landslide_tf.checks import InputError, JobError
from landslide_tf.config import TrainConfig
from landslide_tf.console import say
from landslide_tf.files import atomic_path, read_text, reading
from landslide_tf.training.recipe import averaged_variables
from landslide_tf.training.run_folder import NEW_RUN, STATE


class Recorder(keras.callbacks.Callback):
    """Saves the history, the best weights and all state that resuming needs, after each epoch.

    A checkpoint is never half written: `best-EPOCH.npz` is written first, then `state.npz`, which
    refers to it, and only then are older files deleted. The state holds every variable of the model
    and the optimizer, also the seeds of dropout, which Keras' own checkpoints leave out.

    >>> from landslide_tf.training.run_folder import read_config
    >>> recorder = Recorder(read_config("runs/first"), Path("runs/new"), tensorboard=False)
    >>> recorder.epoch, recorder.finished  # of three
    (0, False)
    """

    def __init__(self, config: TrainConfig, folder: Path, tensorboard: bool):
        super().__init__()
        self.config, self.folder = config, folder
        self.checkpoint = folder / "checkpoint"
        self.rows: list[dict] = []
        self.best_epoch: int | None = None  # counted from 1, as in history.csv
        self.log = _tensorboard_writer(folder) if tensorboard else None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return sum(row["seconds"] for row in self.rows)

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch >= self.config.epochs or self._stops_early()

    def _stops_early(self) -> bool:
        patience = self.config.early_stopping
        return bool(patience and self.best_epoch and self.epoch - self.best_epoch >= patience)

    def restore(self, model) -> None:
        """Load the last state into the model and its optimizer, if there is one.

        Raises:
            InputError: the state is damaged, or is of another model.
        """
        path = self.checkpoint / "state.npz"
        if not path.exists():
            return
        facts = _load_arrays(path, _state_of(model))
        with reading(path, NEW_RUN):
            self.rows, self.best_epoch = list(facts["rows"]), int(facts["best_epoch"])
            _check_epochs(self.rows)
        # Later steps read history.csv, which is out of date if the run stopped after it had written
        # state.npz.
        write_history(self.folder / "history.csv", self.rows)
        say(f"continuing after epoch {self.epoch} of {self.config.epochs}")

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.begin = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Raise `JobError` where the loss is NaN or infinite."""
        if not math.isfinite(float(logs["loss"])):
            self._stop_at_nan(f"at step {batch + 1} of epoch {self.epoch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        """Keep the epoch; raise `JobError` where a loss is NaN or infinite."""
        logs = {name: float(value) for name, value in logs.items()}
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs["val_loss"])):
            self._stop_at_nan(f"in validation after epoch {epoch + 1}")
        row = {
            "epoch": epoch + 1,
            "loss": logs.pop("loss"),
            "val_loss": logs.pop("val_loss"),
            **logs,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": round(time.perf_counter() - self.begin, 3),
        }
        self.rows.append(row)
        self.best_epoch = best_epoch(self.rows)
        self._save()
        if self.log is not None:
            self.log(row)
        if self._stops_early():
            say(f"stopped early: no better mIoU since epoch {self.best_epoch}")
            self.model.stop_training = True

    def _save(self) -> None:
        self.checkpoint.mkdir(exist_ok=True)
        best = _best_path(self.checkpoint, self.best_epoch)
        if self.best_epoch == self.epoch:
            _save_arrays(
                best, {"model": averaged_variables(self.model)}, {"epoch": self.best_epoch}
            )
        facts = {"rows": self.rows, "best_epoch": self.best_epoch}
        _save_arrays(self.checkpoint / "state.npz", _state_of(self.model), facts)
        write_history(self.folder / "history.csv", self.rows)
        for path in self.checkpoint.glob("best-*.npz"):
            if path != best:
                path.unlink()

    def _stop_at_nan(self, where: str):
        kept = f"the state after epoch {self.epoch}" if self.rows else "no epoch was complete"
        raise JobError(
            f"the loss became NaN or infinite {where}; kept in {self.folder}: {kept}. "
            f"Try a --learning-rate below {self.config.learning_rate:g}, or --mixed-precision off"
        )


def best_epoch(rows: list[dict]) -> int:
    """The first epoch with the highest validation mIoU, counted from 1.

    NaN (nothing predicted where there is nothing) is never better than a number.

    >>> best_epoch([{"val_miou": math.nan}, {"val_miou": 0.5}, {"val_miou": 0.5}])
    2
    """
    miou = [row["val_miou"] for row in rows]
    known = [value for value in miou if not math.isnan(value)]
    return miou.index(max(known)) + 1 if known else len(rows)


def _state_of(model) -> dict:
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _save_arrays(path: Path, groups: dict, facts: dict) -> None:
    arrays = {
        # a copy first: on several devices a variable is a set of variables
        f"{key}{i}": keras.ops.convert_to_numpy(keras.ops.copy(variable))
        for key, variables in groups.items()
        for i, variable in enumerate(variables)
    }
    with atomic_path(path) as scratch, open(scratch, "wb") as file:
        np.savez(file, facts=json.dumps(facts), **arrays)


def _load_arrays(path: Path, groups: dict) -> dict:
    """Give the variables their values from a file of `_save_arrays`; returns its facts."""
    with reading(path, NEW_RUN), np.load(path, allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        values = [
            (variable, arrays[f"{key}{i}"])
            for key, variables in groups.items()
            for i, variable in enumerate(variables)
        ]
        for variable, value in values:
            variable.assign(value)
    return facts


def write_history(path: Path, rows: list[dict]) -> None:
    """`history.csv`: one row an epoch, NaN as an empty cell.

    Nine digits tell all float32 numbers apart, and no metric is more precise than that.

    >>> write_history(Path("history.csv"), [{"epoch": 1, "loss": 0.5, "val_iou": float("nan")}])
    >>> Path("history.csv").read_text().split()
    ['epoch,loss,val_iou', '1,0.5,']
    """
    with atomic_path(path) as scratch:
        table = pd.DataFrame(rows)
        table.to_csv(scratch, index=False, lineterminator="\n", float_format="%.9g")


def read_history(path) -> list[dict[str, float]]:
    """The rows of `history.csv` as numbers.

    Raises:
        InputError: the file is missing or damaged.

    >>> [row["epoch"] for row in read_history("runs/first/history.csv")]
    [1, 2, 3]
    """
    with reading(path, NEW_RUN):
        text = read_text(path, errors="strict")
        if not text.endswith("\n"):
            raise ValueError("its last line is not whole")
        rows = pd.read_csv(io.StringIO(text), dtype="float64").to_dict("records")
        _check_epochs(rows)
    return [row | {"epoch": int(row["epoch"])} for row in rows]


def _check_epochs(rows: list[dict]) -> None:
    if not rows or [row["epoch"] for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError("its epochs are not 1, 2, 3 ...")


def check_tensorboard() -> None:
    """Raise `InputError` unless TensorFlow and TensorBoard are installed.

    >>> if find_spec("tensorboard"):  # else InputError: --tensorboard needs tensorboard
    ...     check_tensorboard()
    """
    missing = [name for name in ("tensorflow", "tensorboard") if find_spec(name) is None]
    if missing:
        raise InputError(f"--tensorboard needs {missing[0]}: pip install {missing[0]}")


def _tensorboard_writer(folder: Path):
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def log(row: dict):
        with writer.as_default():
            for name, value in row.items():
                tf.summary.scalar(name, value, step=int(row["epoch"]))
        writer.flush()

    return log


def load_best(folder: Path, model) -> int:
    """Put the best epoch's weights into a float32 model of the same config; returns the epoch.

    Raises:
        InputError: the checkpoint in `folder` is missing or damaged.
    """
    # Only the state tells which file is the best one: a run that stopped before it deleted the
    # older `best-EPOCH.npz` has two of them.
    state = folder / STATE
    with reading(state, NEW_RUN), np.load(state, allow_pickle=False) as arrays:
        epoch = int(json.loads(str(arrays["facts"]))["best_epoch"])
    _load_arrays(_best_path(folder / "checkpoint", epoch), {"model": model.variables})
    return epoch


def _best_path(checkpoint: Path, epoch: int) -> Path:
    return checkpoint / f"best-{epoch:04d}.npz"
