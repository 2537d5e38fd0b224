"""How long the runs of a study take: cost of a model, seconds that are left, the plan as text."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path

import keras
import numpy as np

from landslide_tf.config import TrainConfig
from landslide_tf.data.arrays import packed_tiles
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.index import find_samples
from landslide_tf.models.cost import forward_gmac
from landslide_tf.study.experiments import PlannedRun
from landslide_tf.training import run_folder
from landslide_tf.training.recipe import build, precision_policy
from landslide_tf.training.recorder import read_history

COST_FILTERS = 8  # models are counted at this width: quick to build, and cost grows as its square
TIMED_STEPS = 3
OVERHEAD_S = 30.0  # start, scoring and pictures of a run, until that was measured


def run_cost(config: TrainConfig) -> float:
    """GMAC of one forward pass of a run's model on one tile, for estimates of time.

    >>> config = TrainConfig(model="unet", filters=16)
    >>> round(run_cost(dataclasses.replace(config, filters=32)) / run_cost(config), 6)
    4.0
    """
    # Loss, seed and data change nothing: seeds and losses of a model share one count.
    small = dataclasses.replace(
        config, filters=COST_FILTERS, loss="auto", seed=0, data=None, split="random"
    )
    return _small_cost(small) * (config.filters / COST_FILTERS) ** 2


@functools.lru_cache(maxsize=64)
def _small_cost(config: TrainConfig) -> float:
    return forward_gmac(build(config))


def epoch_seconds(run: PlannedRun) -> list[float]:
    """Seconds of each epoch that a run has completed."""
    path = run.folder / "history.csv"
    return [row["seconds"] for row in read_history(path)] if path.exists() else []


def seconds_left(
    planned: list[PlannedRun], overhead: float = OVERHEAD_S, epoch_s=None
) -> dict[Path, float] | None:
    """Estimated seconds that each run still takes, by folder; None if there is no epoch time yet.

    A run with complete epochs continues at its median pace. Any other run takes the median pace
    of all runs, scaled with the cost of its model. `overhead` is the time (s) of a run outside its
    epochs. `epoch_s` is a measured time (s) of an epoch of the first run, in place of the median.
    """
    cost = {run.folder: run_cost(run.config) for run in planned}
    spent = {run.folder: epoch_seconds(run) for run in planned}
    rates = {folder: np.median(s) / cost[folder] for folder, s in spent.items() if s}
    if epoch_s is None and not rates:
        return None
    rate = epoch_s / cost[planned[0].folder] if epoch_s else np.median(list(rates.values()))
    left = {}
    for run in planned:
        epochs = run.config.epochs - len(spent[run.folder])
        seconds = epochs * rates.get(run.folder, rate) * cost[run.folder] + overhead
        left[run.folder] = 0.0 if run_folder.is_complete(run.folder) else float(seconds)
    return left


def estimate_seconds(planned: list[PlannedRun]) -> dict[Path, float]:
    """Seconds that each run still takes, about.

    From the epochs of runs in the plan that have been made; without any, from a few timed steps
    of the first run's model on this machine.
    """
    left = seconds_left(planned)
    return left or seconds_left(planned, epoch_s=_timed_epoch(planned[0].config))


def _timed_epoch(config: TrainConfig) -> float:
    """Seconds of an epoch, from a few training steps on made-up tiles."""
    folder = Path(config.data or demo_folder())
    if folder.is_file():
        count = packed_tiles(folder)
    else:
        count = len(find_samples(folder, negatives=config.negatives).samples)
    model = build(config, precision_policy(config))
    model.compile(keras.optimizers.Adam(config.learning_rate), "binary_crossentropy")
    x = np.zeros((config.batch_size, *config.input.shape), "float32")
    y = np.zeros((*x.shape[:-1], 1), "float32")
    for _ in range(2):  # the first steps build and compile
        model.train_on_batch(x, y)
    begin = time.perf_counter()
    for _ in range(TIMED_STEPS):
        model.train_on_batch(x, y)
    step = (time.perf_counter() - begin) / TIMED_STEPS
    return step * 0.64 * count / config.batch_size * 1.1  # and a tenth for validation


def format_plan(planned: list[PlannedRun], seconds: dict[Path, float]) -> str:
    """The plan for the terminal: a line a run, its state and the time that it still takes."""
    rows = [("run", "epochs", "about")]
    for run in planned:
        done = run_folder.is_complete(run.folder)
        state = "complete" if done else f"{len(epoch_seconds(run))} of {run.config.epochs}"
        rows.append((run.folder.name, state, "" if done else duration(seconds[run.folder])))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {state:>{widths[1]}}  {about:>{widths[2]}}".rstrip()
        for name, state, about in rows
    ]
    runs = f"{len(planned)} run{'' if len(planned) == 1 else 's'}"
    left = duration(sum(seconds.values()))
    return "\n".join([*lines, f"{runs}, about {left} left, one at a time, on this machine"])


def duration(seconds: float) -> str:
    """Hours and minutes.

    >>> duration(0), duration(59), duration(61), duration(7300)
    ('0 min', '1 min', '1 min', '2 h 02 min')
    """
    minutes = max(1, round(seconds / 60)) if seconds else 0
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
