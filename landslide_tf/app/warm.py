"""Models that stay in memory, and what the first map needs, loaded while the page is idle."""

from __future__ import annotations

import contextlib
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
USED_LATER = ("folium", "geopandas", "matplotlib.backends.backend_agg", "PIL.Image")


def loaded(folder) -> Run:
    """The run in a folder. The two that were used last stay in memory until their files change."""
    told = Path(folder) / "metrics.json"
    return _loaded(str(folder), told.stat().st_mtime_ns if told.exists() else 0)


@functools.lru_cache(maxsize=2)
def _loaded(folder: str, _changed: int) -> Run:
    return load_run(folder)


def warm_up(folder, *others: Callable[[], object]) -> threading.Thread:
    """Load the run in a folder, compile its model, and call `others`, in a thread.

    If the run cannot be loaded, nothing is said here: who uses it gets the error. The thread keeps
    its priority, because TensorFlow's threads, which it starts, would inherit a lower one.

    >>> made = []
    >>> warm_up("runs/first", lambda: made.append("scene")).join()
    >>> made
    ['scene']
    """

    def work():
        time.sleep(IDLE_S)
        for name in USED_LATER:
            importlib.import_module(name)
        for make in others:
            make()
        with contextlib.suppress(InputError):
            run = loaded(folder)
            run.predictor(np.zeros((1, *run.spec.shape), "float32"))

    thread = threading.Thread(target=work, name="warm", daemon=True)
    thread.start()
    return thread
