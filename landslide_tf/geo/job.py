"""A map under way: its options, its folder, and whether it may start, go on, or is done."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import rasterio

from landslide_tf.checks import InputError
from landslide_tf.console import say
from landslide_tf.data.crs import horizontal
from landslide_tf.data.opening import open_raster
from landslide_tf.files import check_outputs, read_json, read_text, reading, sha256, write_json
from landslide_tf.geo.agreement import ALIKE, window_agreement
from landslide_tf.geo.notes import dem_note
from landslide_tf.geo.reader import Scene
from landslide_tf.geo.resolution import model_resolution
from landslide_tf.geo.settings import MapOptions
from landslide_tf.geo.source import open_scene
from landslide_tf.geo.vector_formats import FILES, parse_formats
from landslide_tf.runs.run import Run

UNFINISHED = "unfinished"  # folder of finished blocks and files that are being written
OUTPUTS = (
    "probability.tif",
    "probability.qml",
    "landslides.tif",
    "landslides.qml",
    "landslides.gpkg",
    *FILES,
    "map.qgz",
    "overview.png",
    "area_frequency.png",
    "errors.tif",
    "errors.qml",
    "errors.png",
    "report.json",
)


@dataclass(frozen=True)
class Job:
    """One scene to map into one folder, checked.

    >>> job = Job(Path("map"), None, MapOptions(), {"image_sha256": "e3b0c442"}, "start")
    >>> job.begin()
    >>> read_json("map/unfinished/job.json", "give --overwrite")
    {'image_sha256': 'e3b0c442'}
    >>> job.forget()
    >>> job.out.exists()
    False
    """

    out: Path
    scene: Scene
    options: MapOptions
    key: dict  # what the finished blocks depend on
    action: str  # 'start', 'continue' or 'done'

    @property
    def work(self) -> Path:
        """Folder of what is not finished."""
        return self.out / UNFINISHED

    def begin(self) -> None:
        """Make the folders; `--resume` needs them and `job.json` from here on."""
        if self.action == "start":
            shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        write_json(self.work / "job.json", self.key)

    def forget(self) -> None:
        """Take away what a map without any data has left."""
        shutil.rmtree(self.work, ignore_errors=True)
        if not any(self.out.iterdir()):
            self.out.rmdir()


def make_job(
    run: Run, image, dem, out, options: MapOptions, *, resume: bool, overwrite: bool
) -> Job:
    """Check everything that can be checked before the work; writes nothing.

    Raises:
        InputError: bad files or options, an output that exists, or one that is an input.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give one of them")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is not a folder; give another --out")
    check_outputs(outputs(out), sources(image, dem, options.reference))
    unfinished, finished = (out / UNFINISHED).exists(), (out / "report.json").exists()
    if unfinished and not (resume or overwrite):
        raise InputError(
            f"{out}: holds a map that is not finished; give --resume to continue it, --overwrite "
            "to start anew, or another --out"
        )
    check_free(out, overwrite or (resume and (unfinished or finished)))
    scene = open_for(run, image, dem, options)
    if options.window_px is None and scene.window_px > run.spec.tile_px:
        scene = _in_training_windows(run, scene, options) or scene
    _check_formats(image, options.formats)
    key = _key(run, scene, options)
    action = "start"
    if resume and unfinished:
        _check_same(out / UNFINISHED / "job.json", key)
        action = "continue"
    elif resume and finished:
        _check_same(out / "report.json", key)
        action = "done"
    return Job(out, scene, options, key, action)


def check_free(out: Path, overwrite: bool) -> None:
    """Raise `InputError` where the folder `out` holds files of a map, unless `overwrite`."""
    exists = [out / name for name in OUTPUTS if (out / name).exists()]
    if exists and not overwrite:
        raise InputError(f"{exists[0]}: exists; give --overwrite to replace it, or another --out")


def open_for(run: Run, image, dem, options: MapOptions) -> Scene:
    """`open_scene` for a run: at the resolution and in the windows that suit its model."""
    if options.resolution_m is None:
        options = dataclasses.replace(options, resolution_m=model_resolution(run, image))
    return open_scene(image, dem, run.spec, options, sees_locally=run.sees_locally)


def _in_training_windows(run: Run, scene: Scene, options: MapOptions) -> Scene | None:
    """The scene in windows of the training tiles' size if larger ones change its map, else None."""
    px = run.spec.tile_px
    same = dataclasses.replace(options, window_px=px)
    narrow = open_for(run, scene.image, scene.dem, same)
    threshold = run.threshold if options.threshold is None else options.threshold
    alike = window_agreement(run, scene, narrow, threshold)
    if alike >= ALIKE:
        return None
    say(
        f"windows of {px} pixels, as in training: larger ones are faster, but a sample of the "
        f"scene shows that they change {1 - alike:.1%} of the map (--window-px "
        f"{scene.window_px} takes them)"
    )
    return narrow


def _check_formats(image, formats: str) -> None:
    """Refuse GeoJSON and KML for local coordinates, which have no longitude and latitude."""
    asked = [name for name in parse_formats(formats) if name in ("geojson", "kml")]
    if not asked:
        return
    with open_raster(image) as file:
        if horizontal(file.crs).geodetic_crs is None:
            raise InputError(
                f"--format {asked[0]}: needs longitude and latitude, and {image} is in local "
                "coordinates; leave the format out, or reproject the image (gdalwarp -t_srs)"
            )


def outputs(out) -> list[Path]:
    """All that a map in the folder `out` may write or replace.

    >>> [str(path) for path in outputs("map")][-2:]
    ['map/report.json', 'map/unfinished']
    """
    return [Path(out) / name for name in (*OUTPUTS, UNFINISHED)]


def sources(*paths) -> list[str]:
    """All files that `paths` (None is left out) are read from: a VRT and also those it refers to.

    >>> sources("scene.tif", None)
    ['scene.tif']
    """
    found = []
    for path in filter(None, paths):
        found.append(str(path))
        with contextlib.suppress(Exception), rasterio.open(path) as file:
            found += [name for name in file.files if name not in found]
    return found


def _key(run: Run, scene: Scene, options: MapOptions) -> dict:
    layout = scene.layout
    return {
        "image_sha256": sha256(scene.image),
        "dem_sha256": sha256(scene.dem) if scene.dem else None,
        "model_sha256": sha256(run.folder / "model.keras"),
        "window_px": list(layout.window),
        "overlap_px": list(layout.overlap),
        "bands": list(scene.bands) if scene.bands else None,
        "nodata": scene.nodata,
        "stretch": [list(pair) for pair in scene.stretch] if scene.stretch else None,
        "tta": options.tta,
    }


def _check_same(path: Path, key: dict) -> None:
    content = read_json(path, "give --overwrite to start anew, or another --out")
    stored = content.get("job", content)
    if not isinstance(stored, dict):
        stored = {}
    different = [name for name, value in key.items() if stored.get(name) != value]
    if different:
        raise InputError(
            f"{path.parent}: was started with another {', '.join(different)}; give the same, "
            "--overwrite to start anew, or another --out"
        )


def read_list(path, dem) -> list[tuple[str, str | None]]:
    """Image and DEM of each line 'IMAGE' or 'IMAGE,DEM' of a file; `dem` where a line has none.

    Paths are relative to the list; they may stand in quotes. Empty lines and those that begin
    with # are left out. The list is UTF-8, or UTF-16 as PowerShell writes it.

    Raises:
        InputError: no such file, a line with more than two entries, nothing listed, a name in
            another encoding.

    Example:
        >>> _ = Path("scenes.txt").write_text("a.tif, a_dem.tif\\nb.tif\\n")
        >>> read_list("scenes.txt", dem="dem.tif")
        [('a.tif', 'a_dem.tif'), ('b.tif', 'dem.tif')]
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with reading(path, "save the list as UTF-8 text"):
        text = read_text(path)
        if "\0" in text:
            raise ValueError("it is no text, or UTF-16 without its mark")
    result = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        line = line.strip()
        whole = bool(line) and os.path.isfile(path.parent / line)  # whatever characters it has
        if not whole and (not line or line.startswith("#")):
            continue
        with reading(f"{path}: line {number}", "give 'IMAGE' or 'IMAGE,DEM'"):
            entries = [line] if whole else _entries(line)
        if len(entries) > 2 or not all(entries):
            raise InputError(f"{path}: line {number} is not 'IMAGE' or 'IMAGE,DEM': {line!r}")
        files = [str(path.parent / entry) for entry in entries]
        strange = [file for file in files if not _is_unicode(file) and not os.path.exists(file)]
        if strange:
            raise InputError(f"{path}: line {number} is not UTF-8 text; save the list as UTF-8")
        result.append((files[0], files[1] if len(files) == 2 else dem))
    if not result:
        raise InputError(f"{path}: lists no scene")
    return result


def _entries(line: str) -> list[str]:
    """What commas separate, without the quotes around it."""
    quote = "'" if line.startswith("'") else '"'
    (entries,) = csv.reader([line], skipinitialspace=True, quotechar=quote)
    entries = [entry.strip() for entry in entries]
    while len(entries) > 1 and not entries[-1]:  # a spreadsheet fills up short lines with commas
        entries.pop()
    return entries


def _is_unicode(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def options_with_places(options: MapOptions) -> dict:
    """The options of a map for its report, the path of the reference absolute.

    >>> options_with_places(MapOptions())["reference"] is None
    True
    """
    reference = options.reference and os.path.abspath(options.reference)
    return {**dataclasses.asdict(options), "reference": reference}


def describe(job: Job, run: Run) -> dict:
    """What the report says of inputs, model and options.

    Paths are absolute: `map --from` opens these files again, perhaps from another folder.
    """
    scene = job.scene
    data = run.config.data or "the built-in synthetic demo terrain"
    inputs = {
        "image": {"path": os.path.abspath(scene.image), "sha256": job.key["image_sha256"]},
        "size_px": list(scene.size),
        "pixel_m": list(scene.resolution_m),
    }
    if scene.dem:
        inputs["dem"] = {
            "path": os.path.abspath(scene.dem),
            "sha256": job.key["dem_sha256"],
            "grid": dem_note(scene),
            "read_by_the_model": scene.dem_in_model,
        }
    return {
        "inputs": inputs,
        "model": {
            "run": str(run.folder),
            "sha256": job.key["model_sha256"],
            "model": run.config.model,
            "attention": run.config.attention,
            "fusion": run.spec.fusion,
            "trained_on": str(data),
            "training_tiles": (run.metrics.get("tiles") or {}).get("train"),
            "training_resolution_m": run.metrics.get("resolution_m"),
            "min_area_m2": run.metrics.get("min_area_m2"),
        },
        "options": options_with_places(job.options),
        "job": job.key,
        "note": (
            f"Made by a model trained on {data}. How right it is at this place is not known "
            "unless it was scored against mapped landslides of this place (--reference)."
        ),
    }
