"""The command that maps whole scenes: map."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.cli.options import add_options, group, import_keras_quietly, new_parser, typed
from landslide_tf.geo.settings import MODEL, RESULT, SCENE, MapOptions

REDONE = ("threshold", "min_area", "formats", "reference")  # what --from takes

EXAMPLES = """examples:
  landslide map --model bijie-rgb --image scene.tif --out map
  landslide map --model runs/first --image scene.tif --dem dem.tif --out map
  landslide map --model runs/first --image s2.tif --dem dem.tif --bands 4,3,2 \\
      --scale percentile --resolution-m 2.5 --out map
  landslide map --model runs/first --image scene.tif --dem dem.tif --reference polygons.gpkg \\
      --format gpkg,shp,kml --out map
  landslide map --model runs/first --scenes scenes.txt --dem dem.tif --out maps \\
      --scheduler tcp://10.0.0.1:8786
  landslide map --model runs/first --image scene.tif --dem dem.tif --out map --resume
  landslide map --from map --threshold 0.3 --min-area 500 --out map2

writes to --out: probability.tif, landslides.tif, landslides.gpkg, map.qgz (all of it in QGIS),
overview.png, area_frequency.png (from ten landslides on), report.json
A model is right on ground like that it was trained on; elsewhere, check the map before its use.
exit codes: 0 done, 2 bad input or option, 1 failed on the way (continue with --resume)
"""


def map_parser(commands):
    """Add the command `map`."""
    parser = new_parser(commands, "map", "Map the landslides of a whole scene.", EXAMPLES)
    parser.add_argument(
        "--model",
        metavar="RUN_DIR",
        help="a complete run, or the name of a packaged model (see 'landslide models')",
    )
    parser.add_argument(
        "--from",
        dest="made",
        metavar="MAP",
        help="instead of --model: redo a finished map from its probability, with --threshold, "
        "--min-area, --format, --reference; into --out, or in its place with --overwrite",
    )
    source = group(parser, SCENE)
    source.add_argument("--image", metavar="SCENE.tif", help="with CRS and transform")
    source.add_argument("--dem", metavar="DEM.tif", help="elevation in metres, on any grid and CRS")
    source.add_argument(
        "--scenes",
        metavar="LIST.txt",
        help="instead of --image: lines 'IMAGE' or 'IMAGE,DEM'; each is mapped into OUT/NAME",
    )
    add_options(parser, fields(MapOptions))
    model, result = (group(parser, title) for title in (MODEL, RESULT))
    model.add_argument(
        "--window-px",
        type=_whole_or_auto,
        default=argparse.SUPPRESS,
        metavar="{auto,N}",
        help="side of a window, pixels of the model, a multiple of 16 (default: auto: larger ones, "
        "which are half of the work, for a large scene of which a sample comes out alike in both; "
        "elsewhere the size of the training's tiles)",
    )
    model.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler, as tcp://HOST:8786; its workers see the same files under the same "
        "paths (requirements-cluster.txt)",
    )
    result.add_argument("--out", metavar="DIR", help="folder to write to")
    result.add_argument(
        "--format",
        dest="formats",
        default=argparse.SUPPRESS,
        metavar="LIST",
        help="of the polygons: gpkg, and any of geojson,shp,kml,flatgeobuf (default: gpkg)",
    )
    result.add_argument(
        "--geojson",
        dest="formats",
        default=argparse.SUPPRESS,
        action="store_const",
        const="gpkg,geojson",
        help="the same as --format gpkg,geojson",
    )
    result.add_argument("--resume", action="store_true", help="go on with an unfinished map")
    result.add_argument("--overwrite", action="store_true", help="replace the map in --out")
    parser.set_defaults(run=_map)


def _whole_or_auto(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _map(arguments) -> None:
    if (arguments.model is None) == (arguments.made is None):
        raise InputError("give --model with a scene, or --from with a map; one of them")
    options = typed(arguments, fields(MapOptions))
    if arguments.made is not None:
        _redo(arguments, options)
        return
    if arguments.out is None:
        raise InputError("give --out, the folder to write to")
    if (arguments.image is None) == (arguments.scenes is None):
        raise InputError("give --image or --scenes, one of them")
    if arguments.scenes and "reference" in options:
        raise InputError("--reference belongs to one scene; map them one by one with --image")
    import_keras_quietly()
    from landslide_tf.geo.job import read_list
    from landslide_tf.geo.mapping import map_scenes

    out = Path(arguments.out)
    places = [(arguments.image, arguments.dem, out)]
    if arguments.scenes:
        listed = read_list(arguments.scenes, arguments.dem)
        places = [(image, dem, out / Path(image).stem) for image, dem in listed]
    how = {name: getattr(arguments, name) for name in ("scheduler", "resume", "overwrite")}
    map_scenes(arguments.model, places, MapOptions(**options), **how)


def _redo(arguments, options: dict) -> None:
    others = ("image", "dem", "scenes", "scheduler", "resume")
    given = [name for name in options if name not in REDONE]
    given += [name for name in others if getattr(arguments, name)]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} does not go with --from: the probability stays as it "
            "is; map the scene again"
        )
    import_keras_quietly()
    from landslide_tf.geo.redo import redo_map

    redo_map(arguments.made, arguments.out, options, overwrite=arguments.overwrite)
