"""The queue of map jobs and the worker thread that makes the maps; independent of the web page."""

from __future__ import annotations

import math
import queue
import re
import secrets
import shutil
import threading
import time
import traceback
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pyogrio

from landslide_tf.app.warm import loaded
from landslide_tf.checks import InputError, JobError
from landslide_tf.files import read_json
from landslide_tf.geo.geopackage import LAYER
from landslide_tf.geo.mapping import map_scenes
from landslide_tf.geo.project import PROJECT, project_beside
from landslide_tf.geo.redo import redo_map, redo_polygons
from landslide_tf.geo.settings import MapOptions
from landslide_tf.geo.watch import Cancelled, Watch

PACKED_MB = 200  # of an image that goes into the zip of its map
STAGES = {"windows": "Running the model", "polygons": "Tracing polygons", "files": "Writing files"}
PAGE_WORDS = {"--dem": "the DEM", "--bands": "Bands", "--scale": "Scale", "--nodata": "No data",
              "--min-area": "the minimum area", "--threshold": "the threshold"}  # fmt: skip


@dataclass
class MapJob:
    """A map that a person asked for. Whoever knows its `id`, 128 random bits, may see it."""

    id: str
    folder: Path  # of this job alone; the map is in `map`
    model: Path
    image: Path
    dem: Path | None
    options: MapOptions
    state: str = "waiting"  # running, done, stopped, failed
    message: str = ""
    stage: tuple[str, int, int] = ("", 0, 0)  # name, done, total
    begun: tuple[float, int] = (0.0, 0)  # when the stage began, and how much was done then
    cancel: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while the map is redone

    @property
    def map(self) -> Path:
        """Folder of the map."""
        return self.folder / "map"

    def hear(self, stage: str, done: int, total: int) -> None:
        """Take note of how far the map is: `Watch.progress`."""
        if stage != self.stage[0]:
            self.begun = (time.monotonic(), done)
        self.stage = (stage, done, total)

    def seconds_left(self) -> float | None:
        """Seconds until the stage ends, at the pace so far; None before anything is done.

        >>> job = MapJob("a", Path("a"), Path("run"), Path("a.tif"), None, MapOptions())
        >>> job.hear("windows", 10, 40)
        >>> job.begun, job.stage = (time.monotonic() - 6.0, 10), ("windows", 20, 40)
        >>> round(job.seconds_left())  # ten took six seconds, and twenty are left
        12
        """
        started, before = self.begun
        _, done, total = self.stage
        if done <= before:
            return None
        return (time.monotonic() - started) / (done - before) * (total - done)


class Jobs:
    """The maps of this server, made one after the other by a thread of its own.

    A page that is closed changes nothing: the job goes on, and is found by its `id`.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._jobs: dict[str, MapJob] = {}
        self._calls: queue.Queue[bool] = queue.Queue()  # True: a map waits; False: end
        self._thread = threading.Thread(target=self._work, name="maps", daemon=True)
        self._thread.start()

    def start(self, model, image, dem, options: MapOptions) -> MapJob:
        """Put a map into the queue."""
        identifier = secrets.token_urlsafe(16)
        folder = self.folder / identifier
        folder.mkdir(parents=True)
        image, dem = (path and self._beside(Path(path), folder) for path in (image, dem))
        job = MapJob(identifier, folder, Path(model), image, dem, options)
        self._jobs[identifier] = job
        self._calls.put(True)
        return job

    def _beside(self, path: Path, folder: Path) -> Path:
        """Link an upload into the map's folder, where the QGIS project looks for the image.

        Returns the path of the link, or `path` itself if it is no upload or links do not work.
        """
        if not path.is_relative_to(self.folder.parent):
            return path
        try:
            (folder / path.name).hardlink_to(path)
        except OSError:  # one with this name is there, or the disk knows no links
            return path
        return folder / path.name

    def get(self, identifier) -> MapJob | None:
        """The job of this id, or None."""
        return self._jobs.get(identifier)

    def ahead(self, job: MapJob) -> int:
        """How many maps are made before this one."""
        waiting = [other for other in self._jobs.values() if other.state in ("waiting", "running")]
        return waiting.index(job) if job in waiting else 0

    def stop(self, job: MapJob) -> None:
        """Cancel a map; what is computed is kept for `go_on`."""
        job.cancel.set()
        if job.state == "waiting":
            job.state = "stopped"

    def go_on(self, job: MapJob) -> None:
        """Put a map that was stopped into the queue again."""
        if job.state == "stopped":
            job.cancel = threading.Event()
            job.state = "waiting"
            self._jobs[job.id] = self._jobs.pop(job.id)  # to the end of the queue
            self._calls.put(True)

    def close(self) -> None:
        """Stop all maps and wait for the worker."""
        for job in self._jobs.values():
            job.cancel.set()
        self._calls.put(False)
        self._thread.join(30)

    def _work(self) -> None:
        while self._calls.get():
            for job in list(self._jobs.values()):
                if job.state == "waiting" and not job.cancel.is_set():
                    self._make(job)
                    break

    def _make(self, job: MapJob) -> None:
        job.state, job.stage = "running", ("", 0, 0)
        watch = Watch(job.hear, job.cancel.is_set)
        place = (job.image, job.dem, job.map)
        try:
            map_scenes(loaded(job.model), [place], job.options, resume=True, watch=watch)
            job.state = "done"
        except Cancelled:
            job.state = "stopped"
        except (InputError, JobError) as error:
            job.message, job.state = plain(error, job), "failed"
        except Exception as error:  # the worker lives on, and the page says that this one failed
            traceback.print_exc()
            job.message = f"{type(error).__name__}; the terminal of the page tells more"
            job.state = "failed"


def plain(error, job: MapJob) -> str:
    """The message of an error, with file names in place of paths on the server.

    >>> job = MapJob("a", Path("/x/a"), Path("run"), Path("/x/b/scene.tif"), None, MapOptions())
    >>> plain(InputError("/x/b/scene.tif: has no CRS"), job)
    'scene.tif: has no CRS'
    """
    return names_only(str(error), job.image, job.dem, job.options.reference, job.folder)


def names_only(text: str, *paths) -> str:
    """A text with file names in place of `paths`, and the page's words in place of options.

    >>> names_only("/x/a.tif: no relief; give --dem", "/x/a.tif")
    'a.tif: no relief; give the DEM'
    >>> names_only("a.tif: cannot be read; what is done is kept: continue with --resume, or ...")
    'a.tif: cannot be read'
    >>> names_only("a.tif: holds -9999; give --nodata=-9999")
    'a.tif: holds -9999; give No data -9999'
    """
    for path in filter(None, paths):
        text = text.replace(str(path), Path(path).name)
    text = re.sub(r"; (what is done is kept: )?continue with --resume.*", "", text)
    text = re.sub(r"--(nodata|scale)[= ]", lambda m: PAGE_WORDS[m[0][:-1]] + " ", text)
    text = text.replace(", or --rgb-scale, that value", "")
    for option, word in PAGE_WORDS.items():
        text = text.replace(option, word)
    return text


def read_map(job: MapJob):
    """The report of a finished map, and its polygons."""
    with job.lock:
        return _read_report(job), _read_polygons(job)


def _read_report(job: MapJob) -> dict:
    return read_json(job.map / "report.json", "map the scene again")


def _read_polygons(job: MapJob):
    return pyogrio.read_dataframe(job.map / "landslides.gpkg", layer=LAYER)


def redraw(job: MapJob, threshold: float, min_area: float):
    """What a map finds at another threshold and minimum area, and its polygons.

    If threshold and area are those of the map's files, the polygons are read from there. These are
    more exact, because they were traced from probabilities that are not rounded to a hundredth.

    Raises:
        InputError, JobError: as `redo_polygons`.
    """
    with job.lock:
        report = _read_report(job)
        if settings(report) == (round(threshold, 3), min_area):
            return report, _read_polygons(job)
        return redo_polygons(job.map, {"threshold": threshold, "min_area": min_area})


def settings(report: dict) -> tuple[float, int]:
    """Threshold and minimum area (m2) of a map, as the page shows them.

    The area is rounded down: up, it would leave out landslides that the map has.

    >>> settings({"threshold": 0.48, "min_area_m2": 899.86})
    (0.48, 899)
    """
    return round(report["threshold"], 3), math.floor(report["min_area_m2"])


def bring_up_to_date(job: MapJob, threshold: float, min_area: float) -> None:
    """Make the files of a map anew if its threshold or minimum area have changed on the page.

    Raises:
        InputError, JobError: as `redo_map`.
    """
    with job.lock:
        if settings(_read_report(job)) != (round(threshold, 3), min_area):
            changes = {"threshold": threshold, "min_area": min_area}
            redo_map(job.map, None, changes, overwrite=True)


def pack(job: MapJob, folder) -> Path:
    """A zip of a finished map, in a new folder within `folder`.

    The project in it expects the image beside itself, and there it is unless it is large. The
    raster files are compressed already, so that nothing is gained by doing it again.
    """
    name = f"landslides-{job.image.stem}"
    path = _new_folder(folder) / f"{name}.zip"
    with job.lock, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        files = {file.name: file for file in sorted(job.map.iterdir()) if file.is_file()}
        beside = job.image.name if job.image.name not in files else f"scene-{job.image.name}"
        if job.image.stat().st_size <= PACKED_MB * 2**20:
            files[beside] = job.image
        del files[PROJECT]
        archive.writestr(f"{name}/{PROJECT}", project_beside(job.image, job.map, beside))
        for called, file in files.items():
            archive.write(file, f"{name}/{called}")
    return path


def geopackage(job: MapJob, folder) -> Path:
    """A copy of a map's polygons, in a new folder within `folder`."""
    with job.lock:
        path = _new_folder(folder) / f"landslides-{job.image.stem}.gpkg"
        shutil.copyfile(job.map / "landslides.gpkg", path)
    return path


def _new_folder(folder) -> Path:
    path = Path(folder) / secrets.token_urlsafe(16)
    path.mkdir(parents=True)
    return path
