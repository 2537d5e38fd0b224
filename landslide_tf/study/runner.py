"""Run the experiments of a study, one process each, and keep a record of what failed."""

from __future__ import annotations

import dataclasses
import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from landslide_tf import runs
from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.files import write_json
from landslide_tf.recorder import read_history
from landslide_tf.study.experiments import PlannedRun, Study, split_file
from landslide_tf.study.records import DEM_SCORES

POLL_S = 2.0
COST_FILTERS = 8  # models are counted at this width: quick to build, and cost grows as its square
TIMED_STEPS = 3
PACK_TILES = 1000  # what an estimate takes a pack file to hold


def run_all(study: Study, planned: list[PlannedRun], out) -> dict[str, str]:
    """Run what is not complete; returns the reasons of what failed, by run name.

    Each run is `python -m landslide_tf train … --resume` in a process of its own: memory is given
    back, a crash stops that run alone, and one that was cut off continues. Output goes to
    `OUT/logs/NAME.log`, failures to `OUT/failures.json`.
    """
    from tqdm import tqdm

    out = Path(out)
    work = {run.folder: run_cost(run.config) * run.config.epochs for run in planned}
    bar = tqdm(
        total=sum(work.values()),
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed} < {remaining}",
        disable=None,
    )
    failures = read_failures(out)
    for number, run in enumerate(planned, 1):
        name, label = run.folder.name, f"{number}/{len(planned)} {run.folder.name}"
        bar.set_description(label)
        begin, known = bar.n, runs.is_complete(run.folder)

        def show(epochs, begin=begin, run=run):
            bar.n = begin + work[run.folder] * min(1.0, epochs / run.config.epochs)
            bar.refresh()

        reason = None if known else _run(study, run, out, show)
        for step in _dem_steps(run) if reason is None else ():
            reason = reason or _process(step, out / "logs" / f"{name}.log")
        failures.pop(name, None)
        if reason:
            failures[name] = reason
        show(run.config.epochs)
        bar.write(f"{label}: {reason and f'failed: {reason}' or ('complete' if known else 'done')}")
        if failures or (out / "failures.json").exists():
            write_json(out / "failures.json", failures)
    bar.close()
    return {run.folder.name: failures[run.folder.name] for run in planned
            if run.folder.name in failures}  # fmt: skip


def read_failures(out) -> dict[str, str]:
    """The reasons of failed runs by name, from `OUT/failures.json`."""
    path = Path(out) / "failures.json"
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it") from None


def _run(study: Study, run: PlannedRun, out: Path, show) -> str | None:
    if run.config.split == split_file(study, out):
        _keep_split(study, out)
    command = ["train", *run.config.to_arguments(), "--out", str(run.folder), "--resume"]
    return _process(command, out / "logs" / f"{run.folder.name}.log", lambda: show(_epochs(run)))


def _keep_split(study: Study, out: Path) -> None:
    """Write the split of the first seed's runs, which the other seeds use too."""
    path = Path(split_file(study, out))
    if path.exists():
        return
    for folder in sorted(path.parent.glob("*/split.json")):
        if runs.read_config(folder.parent).seed == study.base.seed:
            write_json(path, json.loads(folder.read_text()))
            return


def _dem_steps(run: PlannedRun) -> list[list[str]]:
    """Commands that score a finished model with another DEM, where that was not done."""
    if run.config.fusion == "rgb" or not (run.folder / "model.keras").is_file():
        return []
    return [
        ["evaluate", str(run.folder), "--dem", name, "--out", str(run.folder / file)]
        for name, file in DEM_SCORES.items()
        if not (run.folder / file).exists()
    ]


def _process(command: list[str], log: Path, show=lambda: None) -> str | None:
    """Run `python -m landslide_tf COMMAND`; returns the reason where it failed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    start = log.stat().st_size if log.exists() else 0  # earlier attempts' errors are not ours
    with open(log, "ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "landslide_tf", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to us alone: the child gets it once, below
        )
        try:
            while child.poll() is None:
                time.sleep(POLL_S)
                show()
        finally:  # also when interrupted: the child saves after each epoch
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                child.wait()
    if child.returncode == 0:
        return None
    if child.returncode < 0:
        return f"killed by {signal.Signals(-child.returncode).name} (out of memory?), see {log}"
    lines = [
        line
        for line in log.read_bytes()[start:].decode(errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line for line in lines if line.startswith("error: ")] or lines or [f"see {log}"]
    return errors[-1].removeprefix("error: ")


def _epochs(run: PlannedRun) -> int:
    path = run.folder / "history.csv"
    return len(read_history(path)) if path.exists() else 0


def run_cost(config: TrainConfig) -> float:
    """GMAC of one forward pass of a run's model on one tile, for estimates of time."""
    # Loss, seed and data change nothing: seeds and losses of a model share one count.
    small = dataclasses.replace(
        config, filters=COST_FILTERS, loss="auto", seed=0, data=None, split="random"
    )
    return _small_cost(small) * (config.filters / COST_FILTERS) ** 2


@functools.lru_cache(maxsize=64)
def _small_cost(config: TrainConfig) -> float:
    from landslide_tf.models.cost import forward_gmac
    from landslide_tf.training import build

    return forward_gmac(build(config))


def estimate_seconds(planned: list[PlannedRun]) -> dict[Path, float]:
    """Seconds that each run still takes, about.

    From the epochs of runs in the plan that have been made; without any, from a few timed steps
    of the first run's model on this machine.
    """
    cost = {run.folder: run_cost(run.config) for run in planned}
    rates, left = [], {}
    for run in planned:
        if done := _epochs(run):
            seconds = [row["seconds"] for row in read_history(run.folder / "history.csv")]
            rates.append(float(np.median(seconds)) / cost[run.folder])
        left[run.folder] = 0 if runs.is_complete(run.folder) else run.config.epochs - done
    if rates:
        rate = float(np.median(rates))
    else:
        rate = _timed_epoch(planned[0].config) / cost[planned[0].folder]
    return {folder: epochs * rate * cost[folder] for folder, epochs in left.items()}


def _timed_epoch(config: TrainConfig) -> float:
    """Seconds of an epoch, from a few training steps on made-up tiles."""
    import keras

    from landslide_tf.data.demo import demo_folder
    from landslide_tf.data.index import find_samples
    from landslide_tf.training import build, precision_policy

    folder = Path(config.data or demo_folder())
    if folder.is_file():  # a pack, which only loading it would tell
        count = PACK_TILES
    else:
        count = len(find_samples(folder, negatives=config.negatives).samples)
    model = build(config, precision_policy(config))
    model.compile(keras.optimizers.Adam(config.learning_rate), "binary_crossentropy")
    px = config.tile_px
    x = np.zeros((config.batch_size, px, px, config.channels), "float32")
    y = np.zeros((config.batch_size, px, px, 1), "float32")
    for _ in range(2):  # the first steps build and compile
        model.train_on_batch(x, y)
    begin = time.perf_counter()
    for _ in range(TIMED_STEPS):
        model.train_on_batch(x, y)
    step = (time.perf_counter() - begin) / TIMED_STEPS
    return step * 0.64 * count / config.batch_size * 1.1  # and a tenth for validation


def format_plan(planned: list[PlannedRun], seconds: dict[Path, float]) -> str:
    """The plan for the terminal: a line a run, its state and the time that it still takes."""
    lines = [f"{'run':<40}{'epochs':>10}{'about':>10}"]
    for run in planned:
        done = runs.is_complete(run.folder)
        state = "complete" if done else f"{_epochs(run)} of {run.config.epochs}"
        about = "" if done else _duration(seconds[run.folder])
        lines.append(f"{run.folder.name:<40}{state:>10}{about:>10}")
    total = sum(seconds.values())
    return "\n".join(
        [*lines, f"{len(planned)} runs, about {_duration(total)} left on this machine"]
    )


def _duration(seconds: float) -> str:
    """
    >>> _duration(59), _duration(61), _duration(7300)
    ('1 min', '1 min', '2 h 02 min')
    """
    minutes = max(1, round(seconds / 60)) if seconds else 0
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
