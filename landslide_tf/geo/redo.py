"""Make a finished map again from its probability, with another threshold or minimum area."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from landslide_tf.checks import InputError
from landslide_tf.console import warn
from landslide_tf.data.opening import open_raster
from landslide_tf.data.opening import reading as reading_raster
from landslide_tf.files import check_outputs, read_json, reading, sha256, write_json
from landslide_tf.geo.geopackage import LAYER
from landslide_tf.geo.job import (
    UNFINISHED,
    Job,
    MapOptions,
    check_free,
    options_with_places,
    outputs,
    sources,
)
from landslide_tf.geo.joining import About, join, open_reference, trace
from landslide_tf.geo.mapping import reference_warnings, say_found
from landslide_tf.geo.outputs import CACHE_MB, STRIP_PX, write_error
from landslide_tf.geo.reader import Scene
from landslide_tf.geo.watch import Watch
from landslide_tf.geo.windows import Layout


def redo_map(
    folder, out=None, changes: dict | None = None, *, overwrite=False, watch: Watch | None = None
) -> dict:
    """Make all files of a map anew from its `probability.tif`; returns the report.

    If `probability.tif` holds percent, probability is rounded to whole percent, and the rounded
    value is compared with the threshold.

    Args:
        folder: of a finished map; its image, and its DEM, must be where and what they were.
        out: folder to write to; default the same, which needs `overwrite`.
        changes: `threshold`, `min_area`, `formats`, `reference` of `MapOptions`; the others stay.
        overwrite: replace a map that is there.
        watch: hears of the progress and can stop the work.

    Raises:
        InputError: no finished map, a file that is gone or another, a bad option, an output that
            exists.
        JobError: failed on the way, or stopped; files that were there may be new or old.

    Example:
        >>> from landslide_tf.geo.mapping import map_scenes
        >>> _ = map_scenes("runs/first", [("scene.tif", "dem.tif", "map")])
        map: ...
        map: ...
        >>> report = redo_map("map", "map2", {"threshold": 0.3, "min_area": 0})
        map2: ... landslides, ... threshold 0.30; ... s
        map2: ...
        >>> report["threshold"], report["from"]
        (0.3, 'map')
    """
    started = time.perf_counter()
    folder, out = Path(folder), Path(out or folder)
    report, job, about = open_map(folder, out, changes)
    check_outputs(outputs(out), sources(job.scene.image, job.scene.dem, job.options.reference))
    if (out / UNFINISHED).exists():
        raise InputError(f"{out}: holds a map that is not finished; give another --out")
    check_free(out, overwrite)
    labels = open_reference(job.scene, job.options.reference)
    if (changes or {}).get("reference") is not None:
        notes = reference_warnings(job.options.reference, job.scene, labels)
        report["notes"] = [*dict.fromkeys([*report.get("notes", ()), *notes])]
        warn(notes)
    with _strips_of(folder, job) as strips:
        found = join(job, strips, labels, about, watch or Watch())
    kept = {k: v for k, v in report.items() if k not in ("scores", "specks_dropped")}
    report = {**kept, **found, "options": options_with_places(job.options), "from": str(folder)}
    write_json(out / "report.json", report)
    say_found(out, found, f"{time.perf_counter() - started:.0f} s")
    return report


def redo_polygons(folder, changes: dict | None = None):
    """The polygons that `redo_map` would write, without writing a map: a third of its time.

    Takes `folder` and `changes` of `redo_map` and raises what it raises.

    Returns:
        What the report would say (threshold, counts, areas, scores), and a GeoDataFrame.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        _, job, about = open_map(folder, Path(scratch), changes)
        labels = open_reference(job.scene, job.options.reference)
        with _strips_of(folder, job) as strips:
            found, _ = trace(job, strips, labels, about, Watch())
            return found, pyogrio.read_dataframe(job.work / "landslides.gpkg", layer=LAYER)


def open_map(folder: Path, out: Path, changes: dict | None = None) -> tuple[dict, Job, About]:
    """The report of a finished map, a job that would make it anew in `out`, and what to say of it.

    Raises:
        InputError: no finished map, a file that is gone or another, a bad option.
    """
    report = _read_report(folder)
    with reading(folder / "report.json", "map the scene again"):
        job = _job(folder, out, report, changes or {})
        asked = job.options.threshold
        threshold = float(report["threshold"] if asked is None else asked)
        return report, job, About(threshold, dict(report["model"]))


@contextlib.contextmanager
def _strips_of(folder: Path, job: Job):
    """The probability of the map in `folder`; within the block the job's folders are there."""
    job.work.mkdir(parents=True)
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
            yield _strips(folder / "probability.tif", job.options.dtype)
    except RasterioError as error:
        raise write_error(job.work, error) from None
    finally:
        job.forget()


def _read_report(folder: Path) -> dict:
    for name in ("report.json", "probability.tif"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; --from takes the folder of a map")
    repair = "map the scene again"
    report = read_json(folder / "report.json", repair)
    if not {"inputs", "model", "options", "job", "threshold"} <= report.keys():
        raise InputError(f"{folder / 'report.json'}: is not of a map; {repair}")
    return report


def _job(folder: Path, out: Path, report: dict, changes: dict) -> Job:
    """The job that a report tells of, with some options changed."""
    known = {field.name for field in dataclasses.fields(MapOptions)}
    options = {name: value for name, value in report["options"].items() if name in known}
    options |= {name: value for name, value in changes.items() if value is not None}
    inputs, key = report["inputs"], report["job"]
    with open_raster(folder / "probability.tif") as file:
        options["dtype"] = file.dtypes[0]
        if list(file.shape) != list(inputs["size_px"]):
            raise ValueError(f"it tells of another size than {file.name} has")
    image, dem = inputs["image"]["path"], (inputs.get("dem") or {}).get("path")
    made_of = {image: key["image_sha256"], dem: key["dem_sha256"]}
    for path in filter(None, (image, dem)):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; the map in {folder} was made of it")
        about = os.stat(path)
        if _hash(path, about.st_size, about.st_mtime_ns) != made_of[path]:
            raise InputError(
                f"{path}: is not the file that the map in {folder} was made of any more; restore "
                "it, or map the scene again"
            )
    scene = Scene(
        image=image,
        dem=dem,
        dem_in_model=bool(dem) and inputs["dem"]["read_by_the_model"],
        bands=tuple(key["bands"]) if key["bands"] else None,
        nodata=key["nodata"],
        stretch=tuple(map(tuple, key["stretch"])) if key["stretch"] else None,
        skip_bad=options.get("skip_bad", False),
        resolution_m=tuple(inputs["pixel_m"]),
        window_px=max(key["window_px"]),  # nothing is computed with it
        layout=Layout(tuple(inputs["size_px"]), tuple(key["window_px"]), tuple(key["overlap_px"])),
    )
    return Job(out, scene, MapOptions(**options), key, "start")


@functools.lru_cache(maxsize=16)  # the page redoes a map again and again
def _hash(path, _size, _changed) -> str:
    return sha256(path)


def _strips(path, dtype: str):
    """(top, probability) of a `probability.tif`, as `store.strips` yields them."""
    with open_raster(path) as file, reading_raster(path):
        height, width = file.shape
        rows = max(1, STRIP_PX // width)
        for top in range(0, height, rows):
            values = file.read(1, window=Window(0, top, width, min(rows, height - top)))
            if dtype == "uint8":
                values = np.where(values == file.nodata, np.nan, values / np.float32(100))
            yield top, values.astype("float32")
