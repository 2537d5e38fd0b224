"""What is known of a scene before it is mapped: facts, and the warnings that `map` gives."""

from __future__ import annotations

import functools
from pathlib import Path

from landslide_tf.app.jobs import names_only
from landslide_tf.app.warm import loaded
from landslide_tf.data.crs import crs_name
from landslide_tf.data.opening import open_raster
from landslide_tf.data.tags import colour_bands
from landslide_tf.geo.job import MapOptions, open_for
from landslide_tf.geo.joining import open_reference
from landslide_tf.geo.mapping import scene_warnings
from landslide_tf.geo.notes import dem_note
from landslide_tf.geo.resolution import model_resolution


def look_at_scene(model, image, dem, options: MapOptions) -> tuple[list, list[str]]:
    """Facts (title, text) about a scene, and warnings about its files, before the model runs.

    Raises:
        InputError: the scene cannot be mapped by this model; what `map` would say.

    >>> facts, warnings = look_at_scene("runs/first", "scene.tif", "dem.tif", MapOptions())
    >>> dict(facts)["Size"], warnings
    ('96 x 64 pixels of 2 m', [])
    """
    files = (image, dem, options.reference)
    changed = tuple(Path(path).stat().st_mtime_ns for path in files if path)
    return _looked(str(model), str(image), dem and str(dem), options, changed)


@functools.lru_cache(maxsize=16)  # the whole image is read for it
def _looked(model: str, image: str, dem: str | None, options: MapOptions, _changed):
    run = loaded(model)
    scene = open_for(run, image, dem, options)
    with open_raster(image) as file:
        bands = scene.bands or colour_bands(file)[:3]
        names = [file.descriptions[i - 1] if i <= file.count else None for i in bands]
        facts = [
            ("Bands", f"{file.count} ({file.dtypes[0]})"),
            ("Red, green, blue", ", ".join(
                f"{i} ({name})" if name else str(i) for i, name in zip(bands, names, strict=True)
            )),
            ("CRS", crs_name(file.crs)),
        ]  # fmt: skip
    height, width = scene.size
    y, x = scene.resolution_m
    pixel = f"{x:.3g} m" if abs(x - y) < 0.01 * x else f"{x:.3g} x {y:.3g} m"
    facts.append(("Size", f"{width:,} x {height:,} pixels of {pixel}"))
    if used := model_resolution(run, scene.image):
        facts.append(("The model sees", f"{used:.3g} m a pixel, as in its training"))
    if dem is not None:
        read = "" if scene.dem_in_model else "; for the table alone, this model reads no elevation"
        facts.append(("Elevation", dem_note(scene) + read))
    facts.append(("Windows", f"{scene.layout.count():,}"))
    warnings = scene_warnings(run, scene, options, open_reference(scene, options.reference))
    paths = (image, dem, options.reference)
    return facts, [names_only(line, *paths) for line in warnings]
