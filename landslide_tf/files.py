"""Files written whole or not at all, and their digests. Imports no third-party package."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path

SCRATCH = ".writing-"  # start of the names of files that are not whole yet


@contextlib.contextmanager
def atomic_path(path):
    """A path beside `path` to write to; it takes the name `path` when the block ends well.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_path(target) as scratch:
    ...     _ = scratch.write_text("done")
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    # The suffix stays: Keras and rasterio choose the format by it.
    scratch = path.with_name(f"{SCRATCH}{os.getpid()}-{path.name}")
    try:
        yield scratch
        with open(scratch, "rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def remove_scratch(folder) -> None:
    """Delete what a killed process was writing in or below `folder`.

    >>> scratch = Path(f"{SCRATCH}99-split.json")
    >>> scratch.touch()
    >>> remove_scratch(".")
    >>> scratch.exists()
    False
    """
    for path in Path(folder).rglob(f"{SCRATCH}*"):
        path.unlink(missing_ok=True)


def write_json(path, content) -> None:
    """Write JSON atomically; NaN and infinity, which JSON lacks, become null.

    >>> write_json("scores.json", {"iou": 0.5, "auc": float("nan")})
    >>> json.loads(Path("scores.json").read_text())
    {'iou': 0.5, 'auc': None}
    """
    with atomic_path(path) as scratch:
        scratch.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def sha256(path) -> str:
    """Hex digest of a file's bytes.

    >>> import tempfile
    >>> sha256(tempfile.mkstemp()[1])[:8]  # of an empty file
    'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
