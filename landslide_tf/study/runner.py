"""Run the experiments of a study, one process each, and keep a record of what failed."""

from __future__ import annotations

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
from landslide_tf.console import progress_bar, say
from landslide_tf.files import read_json, write_json
from landslide_tf.study.experiments import PlannedRun, Study, split_file
from landslide_tf.study.planning import OVERHEAD_S, duration, epoch_seconds, seconds_left
from landslide_tf.study.records import DEM_SCORES
from landslide_tf.training import run_folder
from landslide_tf.training.environment import cores_available, gpu_available

POLL_S = 2.0
GRACE_S = 30.0  # for an interrupted process to end by itself
SHOW_S = 10.0  # between looks at the progress
SAY_S = 120.0  # between lines of progress where there is no terminal for a bar


def run_all(study: Study, planned: list[PlannedRun], out, jobs: int = 1) -> dict[str, str]:
    """Run what is not complete, `jobs` runs at a time; returns the reasons of failed runs by name.

    Each run is `python -m landslide_tf train … --resume` in its own process: its memory is freed at
    the end, a crash stops only this run, and an interrupted run continues. Output goes to
    `OUT/logs/NAME.log`, failures to `OUT/failures.json`. Parallel runs divide the cores among them,
    because a small model uses one core more efficiently than several.

    Raises:
        InputError: more jobs than cores, or more than one on a GPU.
    """
    cores = _share_cores(jobs)
    out = Path(out)
    bar = progress_bar(total=100, bar_format="{percentage:3.0f}% |{bar}| {desc}")
    labels = {r.folder: f"{i}/{len(planned)} {r.folder.name}" for i, r in enumerate(planned, 1)}
    failures, stop = read_failures(out), threading.Event()
    overheads, failed = [], set()  # of the runs made now: seconds outside the epochs; folders
    shown = time.monotonic()

    def end(run, known, reason, seconds):
        outcome = f"failed: {reason}" if reason else "complete" if known else "done"
        bar.write(f"{labels[run.folder]}: {outcome}")
        failures.pop(run.folder.name, None)
        if reason:
            failures[run.folder.name] = reason
            failed.add(run.folder)
        if failures or (out / "failures.json").exists():
            write_json(out / "failures.json", failures)
        if not known and not reason:
            overheads.append(seconds)

    def show(running):
        nonlocal shown
        if time.monotonic() - shown < (SAY_S if bar.disable else SHOW_S):
            return
        shown = time.monotonic()
        overhead = sum(overheads) / len(overheads) if overheads else OVERHEAD_S
        alive = [run for run in planned if run.folder not in failed]
        line, share = progress(alive, running[:jobs], labels, jobs, overhead)
        if bar.disable:
            say(line)
        bar.n = 100 * share
        bar.set_description_str(line)

    first = []
    if not _keep_split(study, out):  # the other seeds use the split that these runs make
        first = [run for run in planned if run.config.seed == study.base.seed][:jobs]
    for phase in (first, [run for run in planned if run not in first]):
        shares = queue.SimpleQueue()
        for share in cores:
            shares.put(share)
        pool = ThreadPoolExecutor(jobs, initializer=_take_cores, initargs=(shares,))
        futures = {pool.submit(_complete, run, out, stop): run for run in phase}
        try:
            while futures:
                show(list(futures.values()))
                for future in wait(futures, POLL_S, FIRST_COMPLETED).done:
                    end(futures.pop(future), *future.result())
        finally:  # also when interrupted: the processes save after each epoch
            if futures:
                stop.set()
            pool.shutdown(cancel_futures=True)
        _keep_split(study, out)
    bar.close()
    names = [run.folder.name for run in planned]
    return {name: failures[name] for name in names if name in failures}


def progress(planned, running, labels, jobs: int, overhead: float) -> tuple[str, float]:
    """How far a study is: a line on the runs under way and the time left, and the share done.

    `labels` are what the runs are called, by folder, `overhead` the seconds of a run outside its
    epochs.
    """
    epochs = {run.folder: len(epoch_seconds(run)) for run in planned}
    runs = ", ".join(
        f"{labels[run.folder]}: epoch {epochs[run.folder]} of {run.config.epochs}"
        for run in running
    )
    left = seconds_left(planned, overhead)
    if left is None:
        return f"{runs}; time left: known after the first epoch", 0.0
    done = sum(epochs.values())
    total = sum(epochs[r.folder] if left[r.folder] == 0 else r.config.epochs for r in planned)
    return f"{runs}; about {duration(sum(left.values()) / jobs)} left", done / max(1, total)


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


def _complete(run: PlannedRun, out: Path, stop: threading.Event) -> tuple[bool, str | None, float]:
    """Train a run, or what is left of it, and score it with other DEMs.

    Returns whether it was complete before, the reason where it failed, and the seconds that were
    spent outside its epochs.
    """
    begin, before = time.monotonic(), sum(epoch_seconds(run))
    known = run_folder.is_complete(run.folder)
    log = out / "logs" / f"{run.folder.name}.log"
    command = ["train", *run.config.to_arguments(), "--out", str(run.folder), "--resume"]
    reason = None if known else _process(command, log, stop)
    for step in _dem_steps(run) if reason is None else ():
        reason = reason or _process(step, log, stop)
    trained = sum(epoch_seconds(run)) - before
    return known, reason, max(0.0, time.monotonic() - begin - trained)


def read_failures(out) -> dict[str, str]:
    """The reasons of failed runs by name, from `OUT/failures.json`."""
    path = Path(out) / "failures.json"
    return read_json(path, "delete it") if path.exists() else {}


def _keep_split(study: Study, out) -> bool:
    """Copy the split of a run of the first seed to the file that all seeds share, if there is one.

    Returns True if that file exists, or if none is needed because each seed has its own split.
    """
    path = Path(split_file(study, out))
    if path.exists() or study.resplit:
        return True
    for file in sorted(path.parent.glob("*/split.json")):
        if run_folder.read_config(file.parent).seed == study.base.seed:
            write_json(path, read_json(file, run_folder.NEW_RUN))
            return True
    return False


def _dem_steps(run: PlannedRun) -> list[list[str]]:
    """Commands that score a finished model with another DEM, where that was not done."""
    if not run.config.input.uses_dem or not (run.folder / "model.keras").is_file():
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
    text = log.read_bytes()[start:].decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")] or lines or [f"see {log}"]
    return errors[-1].removeprefix("error: ")
