"""The command that cuts a scene and its polygons into tiles: data tiles."""

from __future__ import annotations

from landslide_tf.cli.options import add_config_options, import_keras_quietly, new_parser
from landslide_tf.console import say
from landslide_tf.inputs.spec import InputSpec

EXAMPLES = """examples:
  landslide data tiles --image scene.tif --dem dem.tif --polygons landslides.gpkg --out tiles
  landslide data tiles --image b.tif --polygons mask.tif --out tiles --name B   a second scene
  landslide data tiles --image s2.tif --bands 4,3,2 --polygons inventory.shp --out tiles
"""


def tiles_parser(actions) -> None:
    """Add the command `data tiles`.

    >>> from landslide_tf.cli import all_commands
    >>> words = ["data", "tiles", "--image", "a.tif", "--polygons", "a.gpkg", "--out", "tiles"]
    >>> arguments = all_commands().parse_args(words)
    >>> arguments.tile_px
    128
    """
    parser = new_parser(
        actions, "tiles", "Cut a scene and its landslide polygons into tiles.", EXAMPLES
    )
    parser.add_argument("--image", required=True, metavar="SCENE.tif", help="scene, any size")
    parser.add_argument("--dem", metavar="DEM.tif", help="elevation, on any grid")
    parser.add_argument(
        "--polygons",
        required=True,
        metavar="FILE",
        help="all landslides of the scene: a vector file in any CRS, or a mask raster (0 and 1)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--name", help="tiles are called NAME_ROW_COL (default: the scene's file name)"
    )
    parser.add_argument(
        "--tile-px", type=int, default=128, metavar="N", help="side of a tile (default: 128)"
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=0,
        metavar="N",
        help="pixels that neighbouring tiles share (default: 0)",
    )
    parser.add_argument(
        "--min-valid",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of pixels with data that a tile needs (default: 0.5)",
    )
    parser.add_argument(
        "--min-landslide-px",
        type=int,
        default=1,
        metavar="N",
        help="landslide pixels that a tile of landslide/ needs; tiles with fewer, but some, are "
        "left out (default: 1)",
    )
    parser.add_argument(
        "--all-touched",
        action="store_true",
        help="every pixel that a polygon touches is landslide (default: whose centre it covers)",
    )
    add_config_options(parser, only=("nodata", "bands"))
    parser.add_argument("--overwrite", action="store_true", help="replace tiles of that name")
    parser.set_defaults(run=_tiles)


def _tiles(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.geo.cut import cut_scene
    from landslide_tf.geo.notes import raster_warnings

    options = {name: value for name, value in vars(arguments).items() if name != "run"}
    # checked as everywhere
    bands = InputSpec(bands=options.pop("bands", None)).bands
    for path, kind in ((arguments.image, "image"), (arguments.dem, "dem")):
        chosen = bands if kind == "image" else None
        if path:
            for line in raster_warnings(path, kind, nodata=options.get("nodata"), bands=chosen):
                say(f"warning: {line}")
    counts = cut_scene(
        options.pop("image"), options.pop("polygons"), options.pop("out"), bands=bands, **options
    )
    total = counts["landslide"] + counts["non_landslide"]
    share = counts["landslide_px"] / counts["valid_px"]
    say(
        f"{total} tiles in {arguments.out}: {counts['landslide']} with landslides, "
        f"{counts['non_landslide']} without; landslides cover {share:.1%} of them"
    )
    if counts["no_data"]:
        say(f"left out: {counts['no_data']} tiles with less than "
              f"{arguments.min_valid:.0%} of data (--min-valid)")  # fmt: skip
    if counts["few_landslide_px"]:
        say(f"left out: {counts['few_landslide_px']} tiles with fewer than "
              f"{arguments.min_landslide_px} landslide pixels (--min-landslide-px)")  # fmt: skip
