"""The command that maps whole scenes: map."""

from __future__ import annotations

from landslide_tf.cli.options import import_keras_quietly, new_parser, numbers

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
    """Add the command `map`.

    >>> from landslide_tf.cli import all_commands
    >>> words = ["map", "--model", "runs/a", "--image", "scene.tif", "--out", "map"]
    >>> arguments = all_commands().parse_args(words)
    >>> arguments.image, arguments.scale
    ('scene.tif', 'run')
    """
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
    source = parser.add_argument_group("scene")
    source.add_argument("--image", metavar="SCENE.tif", help="with CRS and transform")
    source.add_argument("--dem", metavar="DEM.tif", help="elevation in metres, on any grid and CRS")
    source.add_argument(
        "--scenes",
        metavar="LIST.txt",
        help="instead of --image: lines 'IMAGE' or 'IMAGE,DEM'; each is mapped into OUT/NAME",
    )
    source.add_argument(
        "--bands",
        metavar="R,G,B",
        help="numbers from 1 or descriptions of the red, green and blue band (default: the run's, "
        "or the three that there are)",
    )
    source.add_argument(
        "--scale",
        default="run",
        metavar="{run,percentile,LOW,HIGH}",
        help="image values that become 0 and 1: as in training, 2nd and 98th percentile of each "
        "band, or two numbers (default: run)",
    )
    source.add_argument(
        "--nodata",
        type=numbers,
        metavar="V[,V]",
        help="no data in image and DEM, beside their own tags; --nodata=-9999,-32768",
    )
    source.add_argument(
        "--skip-bad",
        action="store_true",
        help="what cannot be read is no data; of --scenes, leave out those that cannot be used",
    )
    model = parser.add_argument_group("windows and model")
    model.add_argument(
        "--resolution-m",
        type=float,
        metavar="M",
        help="run the model at this ground size of a pixel (default: the one that it was trained "
        "at, where the run knows it, else the image's own)",
    )
    model.add_argument(
        "--window-px",
        type=_whole_or_auto,
        metavar="{auto,N}",
        help="side of a window, pixels of the model, a multiple of 16 (default: auto: up to 512 "
        "where each pixel's answer depends on pixels nearby alone, which is a third of the work; "
        "the size of the training's tiles where the model looks at the whole window: channel "
        "attention, or elevation scaled in each window as by --dem-normalisation relief or zscore)",
    )
    model.add_argument(
        "--overlap",
        type=int,
        metavar="N",
        help="pixels of the model that windows share (default: half of the training's tiles; with "
        "less, seams may show)",
    )
    model.add_argument(
        "--tta", action="store_true", help="mean over eight flips and turns: eight times as long"
    )
    model.add_argument(
        "--batch-size", type=int, default=8, metavar="N", help="windows at once (default: 8)"
    )
    model.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler, as tcp://HOST:8786; its workers see the same files under the same "
        "paths (requirements-cluster.txt)",
    )
    result = parser.add_argument_group("result")
    result.add_argument("--out", metavar="DIR", help="folder to write to")
    result.add_argument(
        "--threshold", type=float, metavar="T", help="default: the one chosen on validation"
    )
    result.add_argument(
        "--min-area",
        type=float,
        metavar="M2",
        help="minimum mapping unit: smaller landslides are left out of the polygons, smaller holes "
        "filled (default: nine pixels, and at least 100 m2 or what a packaged model names)",
    )
    result.add_argument(
        "--dtype",
        default="uint8",
        metavar="{uint8,float32}",
        help="of probability.tif: percent, or 0 to 1 (default: uint8)",
    )
    result.add_argument(
        "--format",
        dest="formats",
        metavar="LIST",
        help="of the polygons: gpkg, and any of geojson,shp,kml,flatgeobuf (default: gpkg)",
    )
    result.add_argument(
        "--geojson",
        dest="formats",
        action="store_const",
        const="gpkg,geojson",
        help="the same as --format gpkg,geojson",
    )
    result.add_argument(
        "--reference",
        metavar="FILE",
        help="mapped landslides, polygons or a mask raster: adds scores to report.json, "
        "errors.tif and errors.png",
    )
    result.add_argument("--resume", action="store_true", help="go on with an unfinished map")
    result.add_argument("--overwrite", action="store_true", help="replace the map in --out")
    parser.set_defaults(run=lambda arguments: _map(arguments, parser))


def _whole_or_auto(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _map(arguments, parser) -> None:
    from pathlib import Path

    from landslide_tf.checks import InputError

    if (arguments.model is None) == (arguments.made is None):
        raise InputError("give --model with a scene, or --from with a map; one of them")
    if arguments.made is not None:
        _redo(arguments, parser)
        return
    if arguments.out is None:
        raise InputError("give --out, the folder to write to")
    options = {
        name: value for name, value in vars(arguments).items() if name not in ("run", "made")
    }
    model, image, dem, scenes, out = (
        options.pop(name) for name in ("model", "image", "dem", "scenes", "out")
    )
    if (image is None) == (scenes is None):
        raise InputError("give --image or --scenes, one of them")
    if scenes and options["reference"]:
        raise InputError("--reference belongs to one scene; map them one by one with --image")
    import_keras_quietly()
    from landslide_tf.geo.job import MapOptions, read_list
    from landslide_tf.geo.mapping import map_scenes

    how = {name: options.pop(name) for name in ("scheduler", "resume", "overwrite")}
    places = [(image, dem, Path(out))]
    if scenes:
        places = [(i, d, Path(out) / Path(i).stem) for i, d in read_list(scenes, dem)]
    options["formats"] = options["formats"] or "gpkg"
    map_scenes(model, places, MapOptions(**options), **how)


def _redo(arguments, parser) -> None:
    from landslide_tf.checks import InputError

    allowed = ("threshold", "min_area", "formats", "reference")
    others = {"run", "made", "out", "overwrite", *allowed}
    given = [
        name
        for name, value in vars(arguments).items()
        if name not in others and value != parser.get_default(name)
    ]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} does not go with --from: the probability stays as it "
            "is; map the scene again"
        )
    import_keras_quietly()
    from landslide_tf.geo.redo import redo_map

    changes = {name: getattr(arguments, name) for name in allowed}
    redo_map(arguments.made, arguments.out, changes, overwrite=arguments.overwrite)
