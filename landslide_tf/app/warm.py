"""Models that stay in memory, and what the first map needs, loaded while the page is idle."""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.runs.run import Run, load_run

IDLE_S = 1.0  # after the page is there
USED_LATER = ("folium", "geopandas", "matplotlib.backends.backend_agg", "PIL.Image", "pyogrio")


def loaded(folder) -> Run:
    """The run in a folder; the last two stay in memory while their files do not change."""
    told = Path(folder) / "metrics.json"
    return _loaded(str(folder), told.stat().st_mtime_ns if told.exists() else 0)


@functools.lru_cache(maxsize=2)
def _loaded(folder: str, _changed: int) -> Run:
    return load_run(folder)


def warm_up(folder, *others: Callable[[], object]) -> threading.Thread:
    """Load the run in a folder, compile its model, and call `others`, in a thread.

    A run that cannot be loaded is told where it is used. The thread has no lower priority:
    TensorFlow's own threads, which it starts, would keep it.

    >>> made = []
    >>> warm_up("runs/first", lambda: made.append("scene")).join()
    >>> made
    ['scene']
    """
    thread = threading.Thread(target=_warm_up, args=(folder, *others), name="warm", daemon=True)
    thread.start()
    return thread


def _warm_up(folder, *others) -> None:
    time.sleep(IDLE_S)
    for name in USED_LATER:
        importlib.import_module(name)
    for make in others:
        make()
    try:
        run = loaded(folder)
    except InputError:
        return
    run.predictor(np.zeros((1, *run.spec.shape), "float32"))
