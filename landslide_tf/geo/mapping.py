"""The landslide map of a scene: blocks computed and kept, then joined into what a GIS opens."""

from __future__ import annotations

import contextlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from landslide_tf.checks import InputError
from landslide_tf.console import say, whole_streams
from landslide_tf.data.ground import Ground
from landslide_tf.files import (
    atomic_path,
    check_outputs,
    read_json,
    remove_scratch,
    write_json,
)
from landslide_tf.geo import cluster, pictures
from landslide_tf.geo.infer import compute_blocks
from landslide_tf.geo.job import OUTPUTS, Job, MapOptions, describe, make_job, outputs, sources
from landslide_tf.geo.outputs import (
    CACHE_MB,
    ERROR_COLOURS,
    NO_DATA,
    StripFile,
    outcome,
    write_cog,
    write_error,
)
from landslide_tf.geo.overlay import open_labels
from landslide_tf.geo.polygons import PolygonWriter, write_geojson
from landslide_tf.geo.reader import Reader
from landslide_tf.geo.reference import Scorer
from landslide_tf.geo.source import scale_note, thumbnail
from landslide_tf.geo.store import is_stored, load_facts, save_block, strips
from landslide_tf.runs.run import Run, load_run
from landslide_tf.training.environment import peak_memory_mib

SPECK_PX = 9  # smaller landslides are dropped unless `min_area` says else
FACTOR = 2.0  # between the resolutions of scene and training, beyond which we warn


@whole_streams()
def map_scenes(
    run_dir,
    places,
    options: MapOptions | None = None,
    *,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> list[dict]:
    """Map scenes with a complete run; returns their reports.

    Each folder gets `probability.tif`, `landslides.tif`, `landslides.gpkg`, `overview.png` and
    `report.json`, on request `landslides.geojson`, `errors.tif` and `errors.png`. All scenes are
    checked before the work begins. Finished blocks are kept in `OUT/unfinished`.

    Args:
        run_dir: folder of a complete run.
        places: (image, DEM or None, folder to write to) of each scene.
        options: see `MapOptions`.
        scheduler: address of a Dask scheduler whose workers compute the blocks.
        resume: go on with unfinished maps, leave finished ones.
        overwrite: replace existing maps.

    Raises:
        InputError: bad files or options; nothing was written.
        JobError: failed on the way; what is done is kept for `resume`.

    Example:
        >>> places = [("scene.tif", "dem.tif", "map")]
        >>> (report,) = map_scenes("runs/first", places, MapOptions(geojson=True))
        map: ... landslides, ... km2 of 0.02458 km2 mapped, threshold ...; ... s, ... MiB
        >>> report["windows"]
        {'all': 15, 'with_data': 15, 'computed_now': 15}
        >>> sorted(path.name for path in Path("map").glob("landslides.*"))
        ['landslides.geojson', 'landslides.gpkg', 'landslides.tif']
    """
    run, options = load_run(run_dir), options or MapOptions()
    jobs = []
    for image, dem, out in places:
        try:
            jobs.append(make_job(run, image, dem, out, options, resume=resume, overwrite=overwrite))
        except InputError as error:
            if not (options.skip_bad and len(places) > 1):
                raise
            say(f"left out: {error}")
    folders = [job.out.absolute() for job in jobs]
    if len(set(folders)) < len(folders):
        raise InputError("two scenes would be written to one folder; give them other names")
    # one scene's map must not replace what another is read from
    read = sources(*(path for job in jobs for path in (job.scene.image, job.scene.dem)))
    check_outputs((path for job in jobs for path in outputs(job.out)), read)
    client = cluster.connect(scheduler) if scheduler else None
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), client or contextlib.nullcontext():
        return [_map(run, job, client) for job in jobs]


def _map(run: Run, job: Job, client) -> dict:
    if job.action == "done":
        say(f"{job.out}: complete, nothing to do")
        return read_json(job.out / "report.json", "give --overwrite to map anew")
    started = time.perf_counter()
    notes = _warnings(run, job)
    grid, labels = _open_reference(job)
    job.begin()
    remove_scratch(job.work)
    computed = _compute(run, job, client)
    computing = time.perf_counter() - started
    facts = [load_facts(job.work, block) for block in job.scene.layout.blocks]
    windows = sum(count for count, _ in facts)
    bad = np.unique(np.concatenate([places for _, places in facts]), axis=0)
    if windows == 0:
        job.forget()
        both = " and DEM" if job.scene.dem_in_model else ""
        if len(bad):
            raise InputError(
                f"{job.scene.image}: nothing is left of image{both} without the {len(bad)} blocks "
                "that cannot be read; restore the damaged file"
            )
        raise InputError(f"{job.scene.image}: image{both} have no data in common; look at both")
    try:
        found = _join(run, job, grid, labels)
    except RasterioError as error:
        raise write_error(job.work, error) from None
    seconds = time.perf_counter() - started
    report = {
        **describe(job, run),
        "notes": notes,
        **found,
        "windows": {
            "all": job.scene.layout.count(),
            "with_data": windows,
            "computed_now": computed,
        },
        "bad_blocks": [
            {"file": ("image", "dem")[kind], "rows": [y0, y1], "columns": [x0, x1]}
            for kind, y0, x0, y1, x1 in bad.tolist()
        ],
        "seconds": {"all": round(seconds, 1), "windows": round(computing, 1)},
        "windows_per_second": round(computed / computing, 2) if computed else None,
        "peak_memory_mib": peak_memory_mib(),
    }
    write_json(job.out / "report.json", report)
    shutil.rmtree(job.work)
    say(
        f"{job.out}: {found['landslides']} landslides, {found['area_km2']:.4g} km2 of "
        f"{found['mapped_km2']:.4g} km2 mapped, threshold {found['threshold']:.2f}; "
        f"{seconds:.0f} s, {report['peak_memory_mib'] or '?'} MiB"
    )
    if labels:
        say(f"{job.out}: {_against_reference(found['scores'], job.options.reference)}")
    if len(bad):
        say(f"{job.out}: {len(bad)} damaged blocks are left as no data (report.json)")
    return report


def _against_reference(scores: dict, reference: str) -> str:
    """
    >>> pixels = {"map": {"iou": 0.5, "precision": 0.75, "recall": 0.6}}
    >>> found = {"reference": 4, "found": 3, "predicted": 7, "false_alarms": 2}
    >>> _against_reference({"pixels": pixels, "landslides": found}, "slides.gpkg")
    'against slides.gpkg IoU 0.500, precision 0.750, recall 0.600; 3 of 4 landslides found, 2 of 7 mapped ones false alarms'
    """  # noqa: E501
    pixels, landslides = scores["pixels"]["map"], scores["landslides"]
    shown = ", ".join(
        f"{title} {'undefined' if np.isnan(pixels[name]) else format(pixels[name], '.3f')}"
        for name, title in (("iou", "IoU"), ("precision", "precision"), ("recall", "recall"))
    )
    return (
        f"against {reference} {shown}; {landslides['found']} of {landslides['reference']} "
        f"landslides found, {landslides['false_alarms']} of {landslides['predicted']} mapped ones "
        "false alarms"
    )


def _warnings(run: Run, job: Job) -> list[str]:
    """What the user should know before the work: printed, and returned for the report."""
    scene, options = job.scene, job.options
    trained = run.metrics.get("resolution_m")
    here = options.resolution_m or float(np.sqrt(np.prod(scene.resolution_m)))
    values, valid, _ = thumbnail(scene)
    notes = [scale_note(scene, values, valid, run.config)]
    if trained and not 1 / FACTOR <= here / trained <= FACTOR:
        notes.append(
            f"the model was trained at {trained:.3g} m a pixel and is run at {here:.3g} m; "
            f"give --resolution-m {trained:.3g}"
        )
    notes = [note for note in notes if note]
    for note in notes:
        say(f"warning: {note}")
    return notes


def _open_reference(job: Job):
    grid = Reader(job.scene).grid
    return grid, open_labels(job.options.reference, grid) if job.options.reference else None


def _compute(run: Run, job: Job, client) -> int:
    """Compute and keep the blocks that are not there yet; returns the windows computed."""
    from tqdm import tqdm

    layout, options = job.scene.layout, job.options
    todo = [block for block in layout.blocks if not is_stored(job.work, block)]
    arguments = {"tta": options.tta, "batch": options.batch_size}
    if client is None:
        results = compute_blocks(job.scene, run, todo, **arguments)
    else:
        results = cluster.compute_on_cluster(
            client, job.scene, str(run.folder), job.key["model_sha256"], todo, **arguments
        )
    done = layout.count() - sum(map(layout.count, todo))
    computed = 0
    with (
        ThreadPoolExecutor(1) as writer,
        tqdm(
            total=layout.count(), initial=done, desc=job.out.name, unit="window", disable=None
        ) as bar,
    ):
        saving = None
        for result in results:
            if saving is not None:
                saving.result()  # one at a time: results must not pile up; raises what it raised
            saving = writer.submit(save_block, job.work, result)
            computed += result.windows
            bar.update(layout.count(result.block))
        if saving is not None:
            saving.result()
    return computed


def _join(run: Run, job: Job, grid, labels) -> dict:
    """All outputs but the report, from the finished blocks; returns what was found."""
    scene, options, work = job.scene, job.options, job.work
    threshold = run.threshold if options.threshold is None else options.threshold
    ground = Ground(grid.crs, grid.transform, scene.size)
    pixel_m2 = ground.pixel_area_m2()
    min_area = SPECK_PX * pixel_m2 if options.min_area is None else options.min_area
    gpkg = work / "landslides.gpkg"
    gpkg.unlink(missing_ok=True)
    polygons = PolygonWriter(gpkg, ground, Reader(scene), min_area)
    scorer = Scorer({"default": 0.5, "map": threshold}, pixel_m2) if labels else None
    percent = options.dtype == "uint8"
    mapped_px = 0
    with contextlib.ExitStack() as stack:

        def strip_file(name, dtype, nodata, colours=None):
            return stack.enter_context(StripFile(work / name, grid, dtype, nodata, colours))

        kind = ("uint8", NO_DATA) if percent else ("float32", float("nan"))
        probability_file = strip_file("probability.tif", *kind)
        landslide_file = strip_file("landslides.tif", "uint8", NO_DATA)
        error_file = strip_file("errors.tif", "uint8", NO_DATA, ERROR_COLOURS) if labels else None
        for top, probability in strips(work, scene.layout):
            valid = np.isfinite(probability)
            landslide = valid & (probability >= np.float32(threshold))
            mapped_px += int(valid.sum())
            shown = probability
            if percent:
                shown = np.where(valid, np.round(np.nan_to_num(probability) * 100), NO_DATA)
            probability_file.write(top, shown.astype(kind[0]))
            landslide_file.write(top, np.where(valid, landslide, NO_DATA).astype("uint8"))
            extra = {}
            if scorer:
                truth = labels(rasterio.windows.Window(0, top, *probability.shape[::-1]))
                mask = (truth.values[..., 0] > 0) & truth.valid
                known = truth.valid & valid
                scorer.add(top, probability, mask, known, landslide)
                error_file.write(top, outcome(landslide, mask, known))
                extra = {"known": known, "mask": mask & known}
            ended = polygons.add(top, probability, landslide, extra)
            if scorer:
                scorer.take_predicted(ended)
    ended = polygons.end()
    if scorer:
        scorer.take_predicted(ended)
    _publish(job, ground, threshold)
    found = {
        "threshold": threshold,
        "min_area_m2": min_area,
        "landslides": polygons.landslides,
        "specks_dropped": polygons.specks,
        "area_km2": polygons.area_m2 / 1e6,
        "mapped_km2": mapped_px * pixel_m2 / 1e6,
    }
    return found | ({"scores": scorer.result()} if scorer else {})


def _publish(job: Job, ground: Ground, threshold: float) -> None:
    """Give the finished files their names, with overviews and pictures."""
    out, work = job.out, job.work
    write_cog(work / "probability.tif", out / "probability.tif", "average")
    write_cog(work / "landslides.tif", out / "landslides.tif", "mode")
    with atomic_path(out / "landslides.gpkg") as scratch:
        (work / "landslides.gpkg").rename(scratch)
    made = {"probability.tif", "landslides.tif", "landslides.gpkg", "overview.png", "report.json"}
    if job.options.geojson:
        write_geojson(out / "landslides.gpkg", out / "landslides.geojson")
        made.add("landslides.geojson")
    title = f"{Path(job.scene.image).name}: landslide probability at least {threshold:.2f}"
    image, valid, step = thumbnail(job.scene)
    share = _thin(work / "landslides.tif", valid.shape, Resampling.average)
    pictures.overview(out / "overview.png", image, valid, np.nan_to_num(share), ground, step, title)
    if job.options.reference:
        write_cog(work / "errors.tif", out / "errors.tif", "mode")
        errors = _thin(work / "errors.tif", valid.shape, Resampling.nearest)
        title = f"{Path(job.scene.image).name}: map against reference"
        pictures.error_map(
            out / "errors.png", np.nan_to_num(errors, nan=NO_DATA), ground, step, title
        )
        made |= {"errors.tif", "errors.png"}
    for name in set(OUTPUTS) - made:  # of the map that is replaced
        (out / name).unlink(missing_ok=True)


def _thin(path, shape, resampling):
    """A raster thinned out to `shape`, float32, NaN without data."""
    with rasterio.open(path) as file:
        array = file.read(
            1, out_shape=shape, resampling=resampling, out_dtype="float32", masked=True
        )
    return array.filled(np.nan)
