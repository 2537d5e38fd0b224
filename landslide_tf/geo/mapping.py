"""The landslide map of a scene: blocks computed and kept, then joined into what a GIS opens."""

from __future__ import annotations

import contextlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyogrio  # noqa: F401, before TensorFlow: see `import_keras_quietly`
import rasterio
from rasterio.errors import RasterioError

from landslide_tf.checks import InputError
from landslide_tf.console import progress_bar, say, warn, whole_streams
from landslide_tf.data.opening import open_raster
from landslide_tf.data.plausible import one_colour
from landslide_tf.data.raster import Raster
from landslide_tf.files import check_outputs, read_json, remove_scratch, write_json
from landslide_tf.geo import cluster
from landslide_tf.geo.infer import compute_blocks
from landslide_tf.geo.job import Job, MapOptions, describe, make_job, outputs, sources
from landslide_tf.geo.joining import About, join, open_reference
from landslide_tf.geo.notes import image_notes, scale_notes
from landslide_tf.geo.oddities import dem_oddities, reference_oddities
from landslide_tf.geo.outputs import CACHE_MB, write_error
from landslide_tf.geo.overlay import Grid
from landslide_tf.geo.reader import Scene, thumbnail
from landslide_tf.geo.resolution import model_resolution, resolution_notes
from landslide_tf.geo.store import is_stored, load_facts, save_block, strips
from landslide_tf.geo.watch import Watch
from landslide_tf.runs.run import Run, load_run
from landslide_tf.training.environment import peak_memory_mib


@whole_streams()
def map_scenes(
    run_dir,
    places,
    options: MapOptions | None = None,
    *,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> list[dict]:
    """Map scenes with a complete run; returns their reports.

    Each folder gets `probability.tif`, `landslides.tif`, `landslides.gpkg`, `map.qgz` (all of it
    in QGIS), `overview.png` and `report.json`; `area_frequency.png` from ten landslides on; with a
    reference `errors.tif` and `errors.png`; and the polygons in further formats. All scenes are
    checked before the work begins. Finished blocks are kept in `OUT/unfinished`.

    Args:
        run_dir: folder of a complete run, or a packaged model's name, or a `Run` that is loaded.
        places: (image, DEM or None, folder to write to) of each scene.
        options: see `MapOptions`.
        scheduler: address of a Dask scheduler whose workers compute the blocks.
        resume: go on with unfinished maps, leave finished ones.
        overwrite: replace existing maps.
        watch: hears of the progress and can stop the work.

    Raises:
        InputError: bad files or options; nothing was written.
        JobError: failed on the way, or stopped; what is done is kept for `resume`.

    Example:
        >>> places = [("scene.tif", "dem.tif", "map")]
        >>> (report,) = map_scenes("runs/first", places, MapOptions(formats="geojson"))
        map: ... landslides, ... km2 of 0.0246 km2 mapped, threshold ...; ... s, ... MiB
        map: ... under 100 m2 left out (... m2), ... holes filled, edges smoothed; ...
        >>> report["windows"]
        {'all': 15, 'with_data': 15, 'computed_now': 15}
        >>> from pathlib import Path
        >>> sorted(path.name for path in Path("map").glob("landslides.*"))
        ['landslides.geojson', 'landslides.gpkg', 'landslides.qml', 'landslides.tif']
    """
    run = run_dir if isinstance(run_dir, Run) else load_run(run_dir)
    options = options or MapOptions()
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
        return [_map(run, job, client, watch or Watch()) for job in jobs]


def _map(run: Run, job: Job, client, watch: Watch) -> dict:
    if job.action == "done":
        say(f"{job.out}: complete, nothing to do")
        return read_json(job.out / "report.json", "give --overwrite to map anew")
    started = time.perf_counter()
    labels = open_reference(job.scene, job.options.reference)
    notes = scene_warnings(run, job.scene, job.options, labels)
    job.begin()
    remove_scratch(job.work)
    computed = _compute(run, job, client, watch)
    computing = time.perf_counter() - started
    facts = [load_facts(job.work, block) for block in job.scene.layout.blocks]
    windows = sum(count for count, _ in facts)
    bad = sorted({place for _, places in facts for place in places})
    if windows == 0:
        job.forget()
        both = " and DEM" if job.scene.dem_in_model else ""
        if bad:
            raise InputError(
                f"{job.scene.image}: nothing is left of image{both} without the {len(bad)} blocks "
                "that cannot be read; restore the damaged file"
            )
        if job.scene.dem_in_model:
            raise InputError(
                f"{job.scene.image}: image and DEM have no data in common; look at both"
            )
        raise InputError(f"{job.scene.image}: is no data throughout; look at its nodata value")
    described = describe(job, run)
    threshold = run.threshold if job.options.threshold is None else job.options.threshold
    about = About(threshold, described["model"])
    try:
        found = join(job, strips(job.work, job.scene.layout), labels, about, watch)
    except RasterioError as error:
        raise write_error(job.work, error) from None
    seconds = time.perf_counter() - started
    report = {
        **described,
        "notes": notes,
        **found,
        "windows": {
            "all": job.scene.layout.count(),
            "with_data": windows,
            "computed_now": computed,
        },
        "bad_blocks": [
            {"file": kind, "rows": [y0, y1], "columns": [x0, x1]} for kind, y0, x0, y1, x1 in bad
        ],
        "seconds": {"all": round(seconds, 1), "windows": round(computing, 1)},
        "windows_per_second": round(computed / computing, 2) if computed else None,
        "peak_memory_mib": peak_memory_mib(),
    }
    write_json(job.out / "report.json", report)
    shutil.rmtree(job.work)
    say_found(job.out, found, f"{seconds:.0f} s, {report['peak_memory_mib'] or '?'} MiB")
    if bad:
        say(f"{job.out}: {len(bad)} damaged blocks are left as no data (report.json)")
    return report


def say_found(out, found: dict, cost: str) -> None:
    """Print what was found, how it was cleaned, and how it does against the reference.

    >>> cleaning = {"dropped": 4, "dropped_m2": 60.5, "holes_filled": 2, "cut_by_the_edge": 1}
    >>> found = {"landslides": 12, "area_km2": 0.25, "mapped_km2": 4.0, "threshold": 0.4}
    >>> found |= {"min_area_m2": 100, "cleaning": {**cleaning, "slivers_at_the_edge": 0}}
    >>> pixels = {"map": {"iou": 0.5, "precision": 0.75, "recall": float("nan")}}
    >>> loose, strict = {"found": 3, "false_alarms": 2}, {"found": 1, "false_alarms": 6}
    >>> objects = {"reference": 4, "mapped": 7, "any_overlap": loose, "iou_over_0.5": strict}
    >>> say_found("map", found | {"scores": {"pixels": pixels, "landslides": objects}}, "9 s")
    map: 12 landslides, 0.25 km2 of 4 km2 mapped, threshold 0.40; 9 s
    map: 4 under 100 m2 left out (60.5 m2), 2 holes filled, edges smoothed; 1 cut by the edge, ...
    map: against the reference IoU 0.500, precision 0.750, recall undefined; of 4 landslides 3 ...
    """
    cleaning = found["cleaning"]
    say(
        f"{out}: {found['landslides']} landslides, {found['area_km2']:.4g} km2 of "
        f"{found['mapped_km2']:.4g} km2 mapped, threshold {found['threshold']:.2f}; {cost}"
    )
    say(
        f"{out}: {cleaning['dropped']} under {found['min_area_m2']:.4g} m2 left out "
        f"({cleaning['dropped_m2']:.4g} m2), {cleaning['holes_filled']} holes filled, edges "
        f"smoothed; {cleaning['cut_by_the_edge']} cut by the edge, "
        f"{cleaning['slivers_at_the_edge']} slivers along it"
    )
    if "scores" not in found:
        return
    pixels, landslides = found["scores"]["pixels"]["map"], found["scores"]["landslides"]
    shown = ", ".join(
        f"{title} {'undefined' if np.isnan(pixels[name]) else format(pixels[name], '.3f')}"
        for name, title in (("iou", "IoU"), ("precision", "precision"), ("recall", "recall"))
    )
    loose, strict = landslides["any_overlap"], landslides["iou_over_0.5"]
    say(
        f"{out}: against the reference {shown}; of {landslides['reference']} landslides "
        f"{loose['found']} overlap a mapped one, {strict['found']} with IoU over 0.5; "
        f"{loose['false_alarms']} of {landslides['mapped']} mapped ones overlap none"
    )


def scene_warnings(run: Run, scene: Scene, options: MapOptions, labels=None) -> list[str]:
    """What the user should know before the work: printed, and returned for the report.

    `labels` is the opened reference, if there is one (see `open_reference`).

    Raises:
        InputError: an image whose type does not say what becomes 1 and that nothing scales; a DEM
            of bands that differ; a reference mask that is ambiguous; nothing can be read.
    """
    own = float(np.sqrt(np.prod(scene.resolution_m)))
    used = options.resolution_m or model_resolution(run, scene.image)
    if used and not options.resolution_m:
        say(
            f"the model runs at {used:.3g} m a pixel, as it was trained (the image has {own:.3g} m)"
        )
    values, valid, _ = thumbnail(scene)
    notes = resolution_notes(options.resolution_m, used, run.metrics.get("resolution_m"), own)
    notes += image_notes(scene)
    notes += scale_notes(scene, values, valid, run.spec)
    notes += one_colour(Raster(values, valid))
    if scene.dem is not None:
        with open_raster(scene.image) as file:
            notes += dem_oddities(scene.dem, Grid(file), nodata=scene.nodata)
    if labels is not None:
        notes += reference_warnings(options.reference, scene, labels)
    warn(notes)
    return notes


def reference_warnings(path, scene: Scene, labels) -> list[str]:
    """`reference_oddities` of the reference `path` of a scene; see `open_reference`."""
    return reference_oddities(path, scene.image, labels, nodata=scene.nodata, bands=scene.bands)


def _compute(run: Run, job: Job, client, watch: Watch) -> int:
    """Compute and keep the blocks that are not there yet; returns the windows computed."""
    layout, options = job.scene.layout, job.options
    todo = [block for block in layout.blocks if not is_stored(job.work, block)]
    arguments = {"tta": options.tta, "batch": options.batch_size}
    done, total = layout.count() - sum(map(layout.count, todo)), layout.count()

    def between(windows: int) -> None:  # of the block that is worked on
        watch.tell("windows", min(done + windows, total), total)

    if client is None:
        results = compute_blocks(job.scene, run, todo, **arguments, between=between)
    else:
        results = cluster.compute_on_cluster(
            client, job.scene, str(run.folder), job.key["model_sha256"], todo, **arguments
        )
    computed = 0
    with (
        ThreadPoolExecutor(1) as writer,
        progress_bar(total=total, initial=done, desc=job.out.name, unit="window") as bar,
    ):
        saving = None
        for result in results:
            if saving is not None:
                saving.result()  # one at a time: results must not pile up; raises what it raised
            saving = writer.submit(save_block, job.work, result)
            computed += result.windows
            bar.update(layout.count(result.block))
            done += layout.count(result.block)
            between(0)
        if saving is not None:
            saving.result()
    return computed
