"""The command that cuts a scene and its polygons into tiles: data tiles."""

from __future__ import annotations

from dataclasses import fields

from landslide_tf.cli.options import (
    add_config_options,
    add_options,
    import_keras_quietly,
    new_parser,
    typed,
)
from landslide_tf.console import say
from landslide_tf.geo.settings import CutOptions
from landslide_tf.inputs.spec import InputSpec

EXAMPLES = """examples:
  landslide data tiles --image scene.tif --dem dem.tif --polygons landslides.gpkg --out tiles
  landslide data tiles --image b.tif --polygons mask.tif --out tiles --name B   a second scene
  landslide data tiles --image s2.tif --bands 4,3,2 --polygons inventory.shp --out tiles
"""


def tiles_parser(actions) -> None:
    """Add the command `data tiles`."""
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
    add_options(parser, fields(CutOptions))
    add_config_options(parser, only=("nodata", "bands"))
    parser.add_argument("--overwrite", action="store_true", help="replace tiles of that name")
    parser.set_defaults(run=_tiles)


def _tiles(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.geo.cut import cut_scene

    # bands are checked as everywhere
    bands = InputSpec(bands=getattr(arguments, "bands", None)).bands
    options = CutOptions(**typed(arguments, fields(CutOptions)) | {"bands": bands})
    counts = cut_scene(
        arguments.image, arguments.polygons, arguments.out, options,
        dem=arguments.dem, overwrite=arguments.overwrite,
    )  # fmt: skip
    total = counts["landslide"] + counts["non_landslide"]
    share = counts["landslide_px"] / counts["valid_px"]
    say(
        f"{total} tiles in {arguments.out}: {counts['landslide']} with landslides, "
        f"{counts['non_landslide']} without; landslides cover {share:.1%} of them"
    )
    if counts["no_data"]:
        say(f"left out: {counts['no_data']} tiles with less than "
              f"{options.min_valid:.0%} of data (--min-valid)")  # fmt: skip
    if counts["few_landslide_px"]:
        say(f"left out: {counts['few_landslide_px']} tiles with fewer than "
              f"{options.min_landslide_px} landslide pixels (--min-landslide-px)")  # fmt: skip
