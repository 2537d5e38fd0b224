"""Files of tiles decoded into arrays, each once: in memory or in a cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.console import progress_bar
from landslide_tf.data.index import Sample
from landslide_tf.data.tile import read_tile
from landslide_tf.files import read_json, reading, sha256
from landslide_tf.inputs.spec import InputSpec

FORMAT = 4  # of cache folders and pack files
KEYS = ("files", "place", "warnings")  # facts of a tile that can be used


def array_shapes(count: int, spec: InputSpec) -> dict[str, tuple]:
    """Shape and dtype of each array of `count` tiles.

    >>> array_shapes(12, InputSpec(tile_px=32))["rgb"]
    ((12, 32, 32, 3), 'float32')
    """
    px = spec.tile_px
    return {
        "rgb": ((count, px, px, 3), "float32"),
        "dem": ((count, px, px), "float32"),
        "terrain": ((count, px, px, len(spec.terrain)), "float32"),
        "mask": ((count, px, px), "uint8"),
        "image_valid": ((count, px, px), "bool"),
        "input_valid": ((count, px, px), "bool"),
        "valid": ((count, px, px), "bool"),
    }


def decode(samples, spec: InputSpec, folder, cache=None) -> tuple[dict, dict]:
    """The arrays of samples, in memory or as memory-mapped files in the folder `cache`.

    Returns the arrays by name, and the facts of each tile by its name: `files` (SHA-256 by kind),
    `place` and `warnings`, or `error` alone where the tile is refused.

    Raises:
        InputError: too little memory for the tiles of `folder`.
    """
    shapes = array_shapes(len(samples), spec)
    if cache is not None:
        return _decode_cached(samples, spec, shapes, Path(cache))
    _check_memory(folder, shapes)
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()}
    return arrays, _fill(samples, spec, arrays)


def _check_memory(folder, shapes) -> None:
    need = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes.values())
    free = available_memory()
    if free is not None and need > free / 2:
        raise InputError(
            f"{folder}: the tiles need {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory "
            "are free; keep them on disk with --cache DIR"
        )


def available_memory() -> int | None:
    """Free memory of this machine in bytes; None where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found[1]) * 1024 if found else None
    return None


def _fill(samples, spec, arrays) -> dict[str, dict]:
    """Fill `arrays`; return the facts of each tile by its name, as described in `decode`."""

    def one(i: int, sample: Sample):
        try:
            tile, place = read_tile(sample, spec)
        except InputError as error:
            return {"error": str(error)}
        for name, array in arrays.items():
            value = getattr(tile, name)
            if value is not None:
                array[i] = value
        return {
            "files": {kind: sha256(path) for kind, path in sample.files.items()},
            "place": place,
            "warnings": tile.warnings,
        }

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # GDAL and NumPy release the lock
        done = progress_bar(
            pool.map(one, range(len(samples)), samples),
            "reading tiles",
            total=len(samples),
            unit="tile",
        )
        return {sample.name: fact for sample, fact in zip(samples, done, strict=True)}


def _decode_cached(samples, spec, shapes, cache: Path):
    """Arrays and facts from a folder in `cache` whose name is a hash of the files and options."""
    stamps = [
        (kind, str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        for sample in samples
        for kind, path in sample.files.items()
    ]
    options = [FORMAT, spec.tile_px, spec.terrain, spec.resolution_m, spec.nodata, spec.rgb_scale,
               spec.bands, stamps]  # fmt: skip
    key = hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]
    folder = cache / f"tiles-{key}"
    if not (folder / "facts.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tiles-", dir=cache))
        try:
            _write_cache(samples, spec, shapes, scratch)
            if not (folder / "facts.json").exists():  # another process may have written it
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    repair = "delete this folder, it is made again"
    with reading(folder, repair):
        arrays = {
            name: np.zeros(shape, dtype)
            if 0 in shape
            else np.load(folder / f"{name}.npy", mmap_mode="r")
            for name, (shape, dtype) in shapes.items()
        }
        if any(array.shape != shapes[name][0] for name, array in arrays.items()):
            raise ValueError("its arrays are of another size")
    facts = read_json(folder / "facts.json", repair)
    with reading(folder / "facts.json", repair):
        for sample in samples:
            facts[sample.name].get("error") or [facts[sample.name][key] for key in KEYS]
    return arrays, facts


def _write_cache(samples, spec, shapes, scratch: Path) -> None:
    """All files of a cache folder, none open afterwards: Windows renames no open file."""
    arrays = {
        name: np.lib.format.open_memmap(scratch / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in shapes.items()
        if 0 not in shape
    }
    _reserve(scratch)
    facts = _fill(samples, spec, arrays)
    for array in arrays.values():
        array.flush()
    (scratch / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _reserve(folder: Path) -> None:
    """Take the files' disk space now: writing to a mapped file on a full disk kills the process."""
    for path in folder.iterdir():
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate"):
                try:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(folder)) from None
