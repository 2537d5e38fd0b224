"""All files of a map from its probability, strip by strip."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasterio.windows import Window

from landslide_tf import __version__
from landslide_tf.data.ground import Ground
from landslide_tf.data.opening import open_raster
from landslide_tf.data.tags import colour_bands, colour_table
from landslide_tf.files import atomic_path
from landslide_tf.geo import pictures
from landslide_tf.geo.accuracy import ObjectScorer
from landslide_tf.geo.cleaning import default_min_area_m2
from landslide_tf.geo.frequency import FEWEST, area_frequency
from landslide_tf.geo.geopackage import CHUNK, LAYER, describe_layer
from landslide_tf.geo.job import OUTPUTS, Job
from landslide_tf.geo.outputs import NO_DATA, new_raster, outcome, thin_any, thin_mean, write_cog
from landslide_tf.geo.overlay import open_labels
from landslide_tf.geo.polygons import PolygonWriter, touching
from landslide_tf.geo.project import PROJECT, write_project
from landslide_tf.geo.reader import Reader, Scene, limits, thumbnail
from landslide_tf.geo.reference import Scorer
from landslide_tf.geo.styles import polygon_parts, qml, raster_parts
from landslide_tf.geo.vector_formats import convert_polygons, parse_formats
from landslide_tf.geo.watch import Watch


@dataclass(frozen=True)
class About:
    """What the files say of the map that they belong to.

    >>> About(threshold=0.4, model={"model": "unet", "trained_on": "tiles"}).sentence
    'Model unet, trained on tiles; threshold 0.40; landslide_tf ...'
    """

    threshold: float
    model: dict  # as in the report

    @property
    def sentence(self) -> str:
        """Model, threshold and program in a line."""
        return (
            f"Model {self.model['model']}, trained on {self.trained_on}; threshold "
            f"{self.threshold:.2f}; landslide_tf {__version__}"
        )

    @property
    def trained_on(self) -> str:
        """The data's name, without the place where they lie."""
        return Path(self.model["trained_on"]).name

    def tags(self) -> dict:
        """The tags of GeoTIFFs."""
        return {
            "model": self.model["model"],
            "model_sha256": self.model.get("sha256"),
            "trained_on": self.trained_on,
            "threshold": self.threshold,
            "product": f"landslide_tf {__version__}",
            "date": datetime.date.today().isoformat(),
        }


def open_reference(scene: Scene, reference):
    """What `open_labels` returns for a reference of a scene; None where there is no reference."""
    return None if reference is None else open_labels(reference, Reader(scene).grid)


def join(job: Job, strips, labels, about: About, watch: Watch) -> dict:
    """Write all files of a map except `report.json`; returns what the report says of the map.

    Args:
        job: `work` is a folder that exists; what is complete goes to `out`.
        strips: (top, probability (h, width), NaN without data), from top to bottom.
        labels: of the reference, as from `open_labels`, or None.

    Raises:
        JobError: a file cannot be written, or `watch` stops the work.
    """
    found, areas = trace(job, strips, labels, about, watch)
    _publish(job, Reader(job.scene).grid, about, found, areas)
    watch.tell("files", 1, 1)
    return found


def trace(job: Job, strips, labels, about: About, watch: Watch) -> tuple[dict, dict]:
    """The first half of `join`: rasters and polygons in `work`, nothing yet in `out`.

    Takes the arguments of `join` and raises what it raises.

    Returns:
        What the report says of the map; and the areas (m2) of its landslides, and of the
        reference's, by name.
    """
    scene, options, work = job.scene, job.options, job.work
    reader = Reader(scene)
    grid = reader.grid
    ground = Ground(grid.crs, grid.transform, scene.size)
    pixel_m2 = ground.pixel_m2(*ground.centre)
    min_area = options.min_area
    if min_area is None:  # a packaged model knows below which area its polygons are mostly false
        min_area = max(default_min_area_m2(pixel_m2), about.model.get("min_area_m2") or 0)
    polygons = PolygonWriter(work / "landslides.gpkg", ground, reader, about.threshold, min_area)
    scorer = Scorer({"default": 0.5, "map": about.threshold}) if labels else None
    objects = ObjectScorer(work, ground, min_area) if labels else None
    mapped_px = 0
    with contextlib.ExitStack() as stack:

        def create(name, dtype="uint8"):
            return stack.enter_context(new_raster(work / name, grid, dtype, about.tags()))

        probability_file = create("probability.tif", options.dtype)
        landslide_file = create("landslides.tif")
        error_file = create("errors.tif") if labels else None
        for top, probability, above, below in _with_neighbours(strips):
            window = Window(0, top, *probability.shape[::-1])
            valid = np.isfinite(probability)
            landslide = valid & (probability >= np.float32(about.threshold))
            mapped_px += int(valid.sum())
            stored = probability
            if options.dtype == "uint8":
                percent = np.round(np.nan_to_num(probability) * 100)
                stored = np.where(valid, percent, NO_DATA).astype("uint8")
            probability_file.write(stored, 1, window=window)
            classes = np.where(valid, landslide, NO_DATA).astype("uint8")
            landslide_file.write(classes, 1, window=window)
            if labels:
                truth = labels(window)
                mask = (truth.values[..., 0] > 0) & truth.valid
                known = truth.valid & valid
                scorer.add(probability, mask, known)
                objects.add(top, mask & known, landslide & known)
                error_file.write(outcome(landslide, mask, known), 1, window=window)
            edge = touching(valid, above, below) & landslide
            polygons.add(top, probability, landslide, edge)
            watch.tell("polygons", top + len(probability), scene.size[0])
    polygons.end()
    found = {
        "threshold": about.threshold,
        "min_area_m2": min_area,
        "landslides": len(polygons.areas_m2),
        "cleaning": polygons.cleaned,
        "area_km2": sum(polygons.areas_m2) / 1e6,
        "mapped_km2": mapped_px * pixel_m2 / 1e6,
    }
    if labels:
        found["scores"] = {"pixels": scorer.result(), "landslides": objects.result()}
    areas = {"map": polygons.areas_m2}
    return found, areas | ({"reference": objects.areas()[0]} if objects else {})


def _with_neighbours(strips):
    """Each (top, probability), and which pixels of the rows above and below it have data."""
    before = last = None
    for top, probability in strips:
        if before is not None:
            yield *before, last, np.isfinite(probability[0])
            last = np.isfinite(before[1][-1])
        before = top, probability
    yield *before, last, None


def _publish(job: Job, grid, about: About, found: dict, areas) -> None:
    """Give the finished files their names, with overviews, styles and pictures."""
    out, work, percent = job.out, job.work, job.options.dtype == "uint8"
    with_dem = job.scene.dem is not None
    rasters = {"probability.tif": "average", "landslides.tif": "mode"}
    if job.options.reference:
        rasters["errors.tif"] = "mode"
    made = {"report.json", "landslides.gpkg", "overview.png", PROJECT}
    for name, resampling in rasters.items():
        write_cog(work / name, out / name, resampling)
        style = raster_parts(name, percent)
        if name == "landslides.tif":  # QGIS takes the same file for landslides.shp and the like
            style += polygon_parts(with_dem)
        with atomic_path(out / f"{name[:-4]}.qml") as scratch:
            scratch.write_text(qml(style), encoding="utf-8")
        made |= {name, f"{name[:-4]}.qml"}
    title = f"Landslides in {Path(job.scene.image).name}"
    abstract = (
        f"{found['landslides']} landslides of {found['min_area_m2']:.6g} m2 and more, found by a "
        f"model in {Path(job.scene.image).name}. {about.sentence}. Not checked by a person."
    )
    describe_layer(work / "landslides.gpkg", title, abstract, with_dem)
    for name in parse_formats(job.options.formats):
        files = convert_polygons(work / "landslides.gpkg", work, name)
        made |= set(files)
        for file in reversed(files):  # whoever sees the first finds the others
            _move(work / file, out / file)
    _move(work / "landslides.gpkg", out / "landslides.gpkg")
    made |= _draw(job, grid, about, found, areas)
    for name in set(OUTPUTS) - made:  # of the map that is replaced
        (out / name).unlink(missing_ok=True)


def _move(path: Path, target: Path) -> None:
    with atomic_path(target) as scratch:
        path.rename(scratch)


def _draw(job: Job, grid, about: About, found: dict, areas) -> set[str]:
    """Write the pictures and the project; returns the names of the optional pictures it wrote."""
    out, work, scene, made = job.out, job.work, job.scene, set()
    image, valid, step = thumbnail(scene)
    name = Path(scene.image).name
    km2 = "{:.3g} km²".format
    subtitle = (
        f"{found['landslides']:,} landslides of {found['min_area_m2']:,.0f} m² and more, "
        f"{km2(found['area_km2'])} of {km2(found['mapped_km2'])} mapped; found by a model, "
        "not checked by a person"
    )
    files = f"Image: {name}" + (f"; elevation: {Path(scene.dem).name}" if scene.dem else "")
    crs = ":".join(grid.crs.to_authority() or ()) or grid.crs.to_wkt().split('"')[1]
    source = f"{files}; {crs}\n{about.sentence}; {datetime.date.today().isoformat()}"
    ground = Ground(grid.crs, grid.transform, scene.size)
    sheet = pictures.Sheet(
        image, valid, step, ground, f"Landslides mapped in {name}", subtitle, source
    )
    probability = thin_mean(work / "probability.tif", valid.shape)
    landslide = _polygons_on(out / "landslides.gpkg", grid.transform, step, valid.shape)
    reference = None
    if job.options.reference:
        reference = thin_any(work / "errors.tif", [1, 3], step)
        with rasterio.open(work / "errors.tif") as file:
            errors = file.read(1, out_shape=valid.shape)
        scores = found["scores"]["pixels"]["map"]
        objects = found["scores"]["landslides"]
        loose = objects["any_overlap"]
        words = (
            f"Pixels: IoU {scores['iou']:.2f}, precision {scores['precision']:.2f}, recall "
            f"{scores['recall']:.2f}. Landslides: {loose['found']} of {objects['reference']} "
            f"touched,\n{loose['false_alarms']} of {objects['mapped']} mapped ones touch none"
        )
        title = f"Map of {name} against the reference"
        scored = dataclasses.replace(sheet, title=title, subtitle=words)
        pictures.error_map(out / "errors.png", scored, errors)
        made.add("errors.png")
    pictures.overview(out / "overview.png", sheet, landslide, probability, about.threshold,
                      reference)  # fmt: skip
    if len(areas["map"]) >= FEWEST:
        area_frequency(out / "area_frequency.png", areas, found["min_area_m2"])
        made.add("area_frequency.png")
    with open_raster(scene.image) as file:
        bands = scene.bands or (colour_bands(file) if colour_table(file) is None else (1, 2, 3))
    shown = scene.image, bands, limits(image, valid).T
    write_project(
        out, f"Landslides in {name}", grid, shown,
        percent=job.options.dtype == "uint8", with_dem=scene.dem is not None,
    )  # fmt: skip
    return made


def _polygons_on(gpkg, transform, step: int, shape):
    """Which pixels of a picture hold a part of a polygon: bool `shape`."""
    result = np.zeros(shape, "uint8")
    for first in range(0, pyogrio.read_info(gpkg, layer=LAYER)["features"], CHUNK):
        part = pyogrio.read_dataframe(
            gpkg, layer=LAYER, columns=[], skip_features=first, max_features=CHUNK
        )
        rasterize(
            part.geometry, out=result, transform=transform @ Affine.scale(step), all_touched=True
        )
    return result > 0
