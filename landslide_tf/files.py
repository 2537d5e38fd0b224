"""Writes files whole or not at all and never over an input, and says when one is damaged.

Imports no third-party package.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import json
import os
import re
from pathlib import Path

from landslide_tf.checks import InputError

SCRATCH = ".writing-"  # start of the names of files that are not whole yet
# The longer marks first: UTF-32 begins as UTF-16 does.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@contextlib.contextmanager
def atomic_path(path):
    """A path beside `path` to write to; it takes the name `path` when the block ends well.

    >>> target = Path("note.txt")
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
        with open(scratch, "r+b") as file:  # Windows flushes only what is open for writing
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        if error.errno is None and disk_is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path)) from None
        if error.errno is not None and error.filename in (None, os.fspath(scratch)):
            error.filename = os.fspath(path)  # the name that the user knows
        raise
    finally:
        scratch.unlink(missing_ok=True)


def disk_is_full(error: Exception) -> bool:
    """Whether the disk is full, or the user's share of it (quota), by an error of any library.

    >>> disk_is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    True
    >>> disk_is_full(OSError("451584 requested and 26592 written"))  # NumPy's, without a number
    True
    >>> disk_is_full(RuntimeError("a.tmp; No space left on device"))  # TensorFlow's
    True
    >>> disk_is_full(OSError(errno.EACCES, "Permission denied"))
    False
    """
    # Windows knows no EDQUOT
    full = getattr(error, "errno", None) in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return full or bool(
        re.search(r"\d+ requested and \d+ written|No space left|quota exceeded", str(error))
    )


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
    text = json.dumps(content, default=_python_number)
    content = json.loads(text, parse_constant=lambda nan_or_infinity: None)
    with atomic_path(path) as scratch:
        scratch.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")


def _python_number(scalar):
    if not hasattr(scalar, "item"):  # it is none of NumPy's
        raise TypeError(f"JSON holds no {type(scalar).__name__}")
    return scalar.item()


@contextlib.contextmanager
def reading(path, repair: str):
    """Whatever a reader raises in the block becomes an `InputError` of one line.

    The line names `path`, says what is wrong and ends with `repair`. An `InputError` passes.

    >>> with reading("state.npz", "give --overwrite to start anew"):
    ...     raise EOFError("No data left in file")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: state.npz: is damaged (No data left in file); \
give --overwrite to start anew
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; {repair}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {repair}") from None
    # zipfile, zlib, json, codecs, NumPy, pandas and h5py each raise their own
    except Exception as error:
        lines = str(error).splitlines() or [""]
        reason = lines[0][:120] or type(error).__name__
        if "pickle" in reason:  # NumPy's advice for a file that is none of its own
            reason = "it is no NumPy file"
        raise InputError(f"{path}: is damaged ({reason}); {repair}") from None


def read_json(path, repair: str) -> dict:
    """The object in a JSON file, in any Unicode encoding.

    Raises:
        InputError: the file is missing, is no JSON, or holds another kind of value than an object;
            the message ends with `repair`.

    >>> _ = Path("split.json").write_text('{"train": ["a"], "test"')
    >>> read_json("split.json", "make it again with 'landslide data split'")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: split.json: is damaged (...); make it again with ...
    """
    with reading(path, repair):
        content = json.loads(read_text(path, errors="strict"))
        if not isinstance(content, dict):
            raise ValueError(f"holds a {type(content).__name__}, not a dict")
    return content


def read_text(path, errors: str = "surrogateescape") -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Windows programs write such files: PowerShell's `>` makes UTF-16, and Notepad puts a mark before
    UTF-8. Without a mark, bytes that are not UTF-8 become surrogate escapes, as in Python's file
    names, or raise an error with `errors='strict'`.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is in none of these encodings.

    >>> _ = Path("list.txt").write_bytes("scene.tif".encode("utf-16"))
    >>> read_text("list.txt")
    'scene.tif'
    """
    data = Path(path).read_bytes()
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    return data.decode("utf-8", errors)


def check_outputs(outputs, inputs) -> None:
    """Raise `InputError` where writing one of `outputs` would destroy one of `inputs`.

    An output that is also an input is refused, even under another name (a symbolic or hard link,
    other letter case). A folder among `outputs` is going to be replaced with all its content, so it
    is refused if an input lies in it. None among the inputs is ignored.

    >>> Path("map").mkdir()
    >>> Path("map/landslides.gpkg").touch()
    >>> check_outputs(["map/report.json"], ["map/landslides.gpkg"])
    >>> check_outputs(["map/landslides.gpkg"], ["map/landslides.gpkg", None])
    Traceback (most recent call last):
    landslide_tf.checks.InputError: map/landslides.gpkg: would be replaced, but it is an input \
(map/landslides.gpkg); give another place to write to, --overwrite does not replace inputs
    """
    read = {}
    for path in inputs:
        if path is not None:
            read.update(dict.fromkeys(_identities(path), path))
    for output in outputs:
        what = "it is an input"
        found = next((read[key] for key in _identities(output) if key in read), None)
        if found is None and os.path.isdir(output):
            folder = _spelled(output)
            inside = (key for key in read if isinstance(key, str))
            what = "an input lies in it"
            found = next((read[key] for key in inside if key.startswith(folder + os.sep)), None)
        if found is not None:
            raise InputError(
                f"{output}: would be replaced, but {what} ({found}); give another place to write "
                "to, --overwrite does not replace inputs"
            )


def _identities(path) -> set:
    """What two paths of one file share: the place without links and case, the number on disk."""
    found = {_spelled(path)}
    with contextlib.suppress(OSError):
        status = os.stat(path)
        if status.st_ino:  # some network drives number nothing
            found.add((status.st_dev, status.st_ino))
    return found


def _spelled(path) -> str:
    return os.path.realpath(path).casefold()


def sha256(path) -> str:
    """Hex digest of a file's bytes.

    >>> Path("empty").touch()
    >>> sha256("empty")[:8]
    'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
