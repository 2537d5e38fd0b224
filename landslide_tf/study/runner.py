"""Run the experiments of a study, one process each, and keep a record of what failed."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.files import write_json
from landslide_tf.study.experiments import PlannedRun, Study, split_file
from landslide_tf.study.records import DEM_SCORES
from landslide_tf.training import run_folder
from landslide_tf.training.environment import cores_available, gpu_available
from landslide_tf.training.recorder import read_history

POLL_S = 2.0
GRACE_S = 30.0  # for an interrupted process to end by itself
COST_FILTERS = 8  # models are counted at this width: quick to build, and cost grows as its square
TIMED_STEPS = 3


def run_all(study: Study, planned: list[PlannedRun], out, jobs: int = 1) -> dict[str, str]:
    """Run what is not complete, `jobs` at a time; returns the reasons of what failed, by run name.

    Each run is `python -m landslide_tf train … --resume` in a process of its own: memory is given
    back, a crash stops that run alone, and one that was cut off continues. Output goes to
    `OUT/logs/NAME.log`, failures to `OUT/failures.json`. Runs at one time share out the cores:
    small models keep one core busier than several.

    Raises:
        InputError: more jobs than cores, or more than one on a GPU.

    >>> from landslide_tf.study.experiments import plan, read_study
    >>> study = read_study("study")
    >>> run_all(study, plan(study, "study", ("unet-none-bce",)), "study")
    1/1 unet-none-bce: complete
    {}
    """
    from tqdm import tqdm

    cores = _share_cores(jobs)
    out = Path(out)
    work = {run.folder: run_cost(run.config) * run.config.epochs for run in planned}
    bar = tqdm(
        total=sum(work.values()),
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed} < {remaining}",
        disable=None,
    )
    numbers = {run.folder: number for number, run in enumerate(planned, 1)}
    failures, ended, stop = read_failures(out), [], threading.Event()

    def label(run):
        return f"{numbers[run.folder]}/{len(planned)} {run.folder.name}"

    def end(run, known, reason):
        ended.append(run.folder)
        outcome = f"failed: {reason}" if reason else "complete" if known else "done"
        bar.write(f"{label(run)}: {outcome}")
        failures.pop(run.folder.name, None)
        if reason:
            failures[run.folder.name] = reason
        if failures or (out / "failures.json").exists():
            write_json(out / "failures.json", failures)

    def show(running):
        shares = {folder: 1.0 for folder in ended}
        shares |= {run.folder: min(1.0, _epochs(run) / run.config.epochs) for run in running}
        bar.n = sum(work[folder] * share for folder, share in shares.items())
        bar.set_description(", ".join(label(run) for run in running[:jobs]))

    for same_seed in _phases(study, planned):
        if any(run.config.split == split_file(study, out) for run in same_seed):
            _keep_split(study, out)
        shares = queue.SimpleQueue()
        for share in cores:
            shares.put(share)
        pool = ThreadPoolExecutor(jobs, initializer=_take_cores, initargs=(shares,))
        futures = {pool.submit(_complete, run, out, stop): run for run in same_seed}
        try:
            while futures:
                show(list(futures.values()))
                for future in wait(futures, POLL_S, FIRST_COMPLETED).done:
                    end(futures.pop(future), *future.result())
        finally:  # also when interrupted: the processes save after each epoch
            if futures:
                stop.set()
            pool.shutdown(cancel_futures=True)
    show([])
    bar.close()
    return {run.folder.name: failures[run.folder.name] for run in planned
            if run.folder.name in failures}  # fmt: skip


def _phases(study: Study, planned: list[PlannedRun]) -> list[list[PlannedRun]]:
    """The first seed's runs, whose split the others may use, and then the others."""
    first = [run for run in planned if run.config.seed == study.base.seed]
    return [first, [run for run in planned if run not in first]]


def _share_cores(jobs: int) -> list[list[int]]:
    """The cores that each of the jobs may use; nothing where one may use all."""
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1. Received: {jobs}")
    if jobs == 1:
        return []
    if gpu_available():
        raise InputError(f"--jobs {jobs}: a GPU is for one run at a time; leave it out")
    if jobs > cores_available():
        raise InputError(f"--jobs {jobs}: this process may use {cores_available()} cores")
    if not hasattr(os, "sched_getaffinity"):  # not Linux: the system shares them out
        return []
    return [share.tolist() for share in np.array_split(sorted(os.sched_getaffinity(0)), jobs)]


def _take_cores(shares: queue.SimpleQueue) -> None:
    """Bind this thread to a share of the cores; the processes that it starts inherit that."""
    if not shares.empty():
        os.sched_setaffinity(0, shares.get())


def _complete(run: PlannedRun, out: Path, stop: threading.Event) -> tuple[bool, str | None]:
    """Make what a run lacks; returns whether it was complete, and the reason where it failed."""
    known = run_folder.is_complete(run.folder)
    log = out / "logs" / f"{run.folder.name}.log"
    command = ["train", *run.config.to_arguments(), "--out", str(run.folder), "--resume"]
    reason = None if known else _process(command, log, stop)
    for step in _dem_steps(run) if reason is None else ():
        reason = reason or _process(step, log, stop)
    return known, reason


def read_failures(out) -> dict[str, str]:
    """The reasons of failed runs by name, from `OUT/failures.json`.

    >>> read_failures("study")
    {}
    """
    path = Path(out) / "failures.json"
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it") from None


def _keep_split(study: Study, out: Path) -> None:
    """Write the split of the first seed's runs, which the other seeds use too."""
    path = Path(split_file(study, out))
    if path.exists():
        return
    for folder in sorted(path.parent.glob("*/split.json")):
        if run_folder.read_config(folder.parent).seed == study.base.seed:
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


def _process(command: list[str], log: Path, stop: threading.Event) -> str | None:
    """Run `python -m landslide_tf COMMAND` until `stop`; returns the reason where it failed."""
    if stop.is_set():
        return "interrupted"
    log.parent.mkdir(parents=True, exist_ok=True)
    # where this package was found, though another folder may be the current one
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))
    start = log.stat().st_size if log.exists() else 0  # earlier attempts' errors are not ours
    with open(log, "ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "landslide_tf", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C comes to us alone: the child gets it once, below
        )
        while child.poll() is None:
            if stop.wait(POLL_S):
                child.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
                try:
                    child.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                child.wait()
                return "interrupted"
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
    from landslide_tf.models.cost import forward_gmac
    from landslide_tf.training.fit import build

    return forward_gmac(build(config))


def estimate_seconds(planned: list[PlannedRun]) -> dict[Path, float]:
    """Seconds that each run still takes, about.

    From the epochs of runs in the plan that have been made; without any, from a few timed steps
    of the first run's model on this machine.

    >>> from landslide_tf.study.experiments import plan, read_study
    >>> planned = plan(read_study("study"), "study", ("unet-none-bce",))
    >>> list(estimate_seconds(planned).values())  # complete
    [0.0]
    """
    cost = {run.folder: run_cost(run.config) for run in planned}
    rates, left = [], {}
    for run in planned:
        if done := _epochs(run):
            seconds = [row["seconds"] for row in read_history(run.folder / "history.csv")]
            rates.append(float(np.median(seconds)) / cost[run.folder])
        left[run.folder] = 0 if run_folder.is_complete(run.folder) else run.config.epochs - done
    if rates:
        rate = float(np.median(rates))
    else:
        rate = _timed_epoch(planned[0].config) / cost[planned[0].folder]
    return {folder: epochs * rate * cost[folder] for folder, epochs in left.items()}


def _timed_epoch(config: TrainConfig) -> float:
    """Seconds of an epoch, from a few training steps on made-up tiles."""
    import keras

    from landslide_tf.data.arrays import packed_tiles
    from landslide_tf.data.demo import demo_folder
    from landslide_tf.data.index import find_samples
    from landslide_tf.training.fit import build, precision_policy

    folder = Path(config.data or demo_folder())
    if folder.is_file():
        count = packed_tiles(folder)
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
    """The plan for the terminal: a line a run, its state and the time that it still takes.

    >>> from landslide_tf.study.experiments import plan, read_study
    >>> planned = plan(read_study("study"), "study", ("unet-none-bce",))
    >>> format_plan(planned, estimate_seconds(planned)).splitlines()[-1]
    '1 runs, about 0 min left, one at a time, on this machine'
    """
    lines = [f"{'run':<40}{'epochs':>10}{'about':>10}"]
    for run in planned:
        done = run_folder.is_complete(run.folder)
        state = "complete" if done else f"{_epochs(run)} of {run.config.epochs}"
        about = "" if done else _duration(seconds[run.folder])
        lines.append(f"{run.folder.name:<40}{state:>10}{about:>10}")
    total = sum(seconds.values())
    return "\n".join(
        [
            *lines,
            f"{len(planned)} runs, about {_duration(total)} left, one at a time, on this machine",
        ]
    )


def _duration(seconds: float) -> str:
    """
    >>> _duration(59), _duration(61), _duration(7300)
    ('1 min', '1 min', '2 h 02 min')
    """
    minutes = max(1, round(seconds / 60)) if seconds else 0
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
