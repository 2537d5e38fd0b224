"""The command that writes image and elevation into one file: data stack."""

from __future__ import annotations

from landslide_tf.cli.options import add_config_options, import_keras_quietly, new_parser
from landslide_tf.console import say, warn

EXAMPLES = """examples:
  landslide data stack --image scene.tif --dem dem.tif --out stack.tif
  landslide data stack --image s2.tif --bands 4,3,2 --dem dem.tif --out stack.tif

model-qgis.onnx of 'landslide export' takes this file in QGIS' plugin Deepness.
"""


def stack_parser(actions) -> None:
    """Add the command `data stack`."""
    parser = new_parser(
        actions, "stack", "Write image and elevation as one file of four bands.", EXAMPLES
    )
    parser.add_argument("--image", required=True, metavar="SCENE.tif", help="scene, any size")
    parser.add_argument(
        "--dem",
        required=True,
        metavar="DEM.tif",
        help="elevation in metres, on any grid and CRS; it is brought onto the image's pixels",
    )
    parser.add_argument("--out", required=True, metavar="STACK.tif", help="file to write")
    add_config_options(parser, only=("nodata", "bands"))
    parser.add_argument("--overwrite", action="store_true", help="replace --out")
    parser.set_defaults(run=_stack)


def _stack(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.geo.stack import write_stack

    options = {name: value for name, value in vars(arguments).items() if name != "run"}
    found = write_stack(**options)
    height, width = found["size"]
    say(
        f"{arguments.out}: {height} x {width} pixels of red, green, blue and elevation "
        f"({found['dem']}); {found['valid']:.1%} have all data, -32768 is no data"
    )
    warn(found["notes"])
