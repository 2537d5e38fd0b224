"""The commands about data: download, stack, check, demo, split, pack; `tiles` has its own file."""

from __future__ import annotations

import os
from dataclasses import fields

from landslide_tf.checks import InputError, JobError, check_choice
from landslide_tf.cli.cmd_tiles import tiles_parser
from landslide_tf.cli.options import (
    add_config_options,
    check_output,
    import_keras_quietly,
    new_parser,
    typed,
)
from landslide_tf.console import say, warn
from landslide_tf.inputs.spec import InputSpec

DATA_EXAMPLES = """examples:
  landslide data download bijie
  landslide data tiles --image scene.tif --dem dem.tif --polygons landslides.gpkg --out tiles
  landslide data stack --image scene.tif --dem dem.tif --out stack.tif    for QGIS' Deepness
  landslide data check Bijie-landslide-dataset
  landslide data demo demo-tiles
  landslide data split tiles split.json --by group --test-prefix B
  landslide data pack tiles tiles.npz --rgb-uint8
"""
STACK_EXAMPLES = """examples:
  landslide data stack --image scene.tif --dem dem.tif --out stack.tif
  landslide data stack --image s2.tif --bands 4,3,2 --dem dem.tif --out stack.tif

model-qgis.onnx of 'landslide export' takes this file in QGIS' plugin Deepness.
"""

CHECK_OPTIONS = ("nodata", "rgb_scale", "bands")
SPLIT_OPTIONS = (*CHECK_OPTIONS, "negatives", "skip_bad")
PACK_OPTIONS = (*SPLIT_OPTIONS, "tile_px", "terrain", "resolution_m")


def data_parser(commands):
    """Add the command `data`."""
    data = new_parser(
        commands, "data", "Get, make, check, split or pack tiles; stack rasters.", DATA_EXAMPLES
    )
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    _download_parser(actions)
    tiles_parser(actions)
    _stack_parser(actions)

    check = new_parser(actions, "check", "Report what a folder of tiles holds.", None)
    check.add_argument("folder", metavar="DIR")
    add_config_options(check, only=CHECK_OPTIONS)
    check.set_defaults(run=_data_check)

    demo = new_parser(actions, "demo", "Write the synthetic demo tiles, or a scene.", None)
    demo.add_argument("folder", metavar="DIR")
    demo.add_argument("--seed", type=int, default=0, help="of the terrain (default: 0)")
    demo.add_argument(
        "--scene",
        action="store_true",
        help="instead of tiles, one whole scene: scene.tif, dem.tif, landslides.gpkg",
    )
    demo.set_defaults(run=_data_demo)

    split = new_parser(actions, "split", "Write a split file for train --split FILE.", None)
    split.add_argument("folder", metavar="DIR")
    split.add_argument("out", metavar="OUT.json")
    split.add_argument(
        "--by",
        default="random",
        metavar="{random,group}",
        help="group keeps neighbours together (default: random)",
    )
    split.add_argument(
        "--test-prefix",
        metavar="TEXT",
        help="tiles whose name begins so are the test part; the rest is split 80 / 20",
    )
    split.add_argument("--seed", type=int, default=0, help="(default: 0)")
    split.add_argument("--overwrite", action="store_true", help="replace OUT.json")
    add_config_options(split, only=SPLIT_OPTIONS)
    split.set_defaults(run=_data_split)

    pack = new_parser(actions, "pack", "Pack resized tiles into one NumPy file.", None)
    pack.add_argument("folder", metavar="DIR")
    pack.add_argument("out", metavar="OUT.npz")
    pack.add_argument(
        "--rgb-uint8", action="store_true", help="RGB in 256 steps: a third of the size"
    )
    pack.add_argument("--overwrite", action="store_true", help="replace OUT.npz")
    add_config_options(pack, only=PACK_OPTIONS)
    pack.set_defaults(run=_data_pack)


def _download_parser(actions) -> None:
    from landslide_tf.data.download import DATA_SETS

    known = "\n".join(f"  {name:<17}{data_set.page}" for name, data_set in DATA_SETS.items())
    examples = (
        f"data sets:\n{known}\n\nexamples:\n  landslide data download bijie\n"
        "  landslide data download landslide4sense /data/l4s   # again: goes on after a break\n"
    )
    parser = new_parser(
        actions, "download", "Fetch a public data set; prints its terms first.", examples
    )
    parser.add_argument("name", metavar="NAME", help="one of those below")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="default: NAME")
    parser.set_defaults(run=_data_download)


def _stack_parser(actions) -> None:
    parser = new_parser(
        actions, "stack", "Write image and elevation as one file of four bands.", STACK_EXAMPLES
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
    parser.set_defaults(run=_data_stack)


def _data_download(arguments) -> None:
    from landslide_tf.data.download import download

    try:
        folder = download(arguments.name, arguments.folder or arguments.name)
    except KeyboardInterrupt:
        raise JobError("interrupted; run the same command to go on") from None
    say(f"done; look at it with: landslide data check {folder}")


def _data_stack(arguments) -> None:
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


def _data_check(arguments) -> None:
    from landslide_tf.data.check import check_folder, format_report

    options = typed(arguments, fields(InputSpec))
    report = check_folder(arguments.folder, processes=os.cpu_count() or 1, **options)
    say(format_report(report))
    if report["unreadable"] or report["unpaired"]:
        count = len(report["unreadable"]) + len(report["unpaired"])
        raise InputError(f"{arguments.folder}: {count} problem(s), listed above")


def _data_demo(arguments) -> None:
    from landslide_tf.data.demo import write_demo, write_demo_scene

    if arguments.scene:
        write_demo_scene(arguments.folder, seed=arguments.seed)
        say(f"scene.tif, dem.tif and landslides.gpkg in {arguments.folder}")
        return
    count = write_demo(arguments.folder, seed=arguments.seed)
    say(f"{count} tiles in {arguments.folder}")


def _data_split(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.data.check import tile_files
    from landslide_tf.data.split import make_split, split_content
    from landslide_tf.data.split_notes import split_notes
    from landslide_tf.files import write_json

    check_choice("by", arguments.by, ("random", "group"))
    check_output(arguments.out, tile_files(arguments.folder), arguments.overwrite)
    tiles = _read_tiles(arguments, tile_px=16)
    split = make_split(tiles, arguments.by, arguments.seed, arguments.test_prefix)
    content = split_content(split, tiles)
    write_json(arguments.out, content)
    for line in split_notes(content, tiles):
        say(line)
    parts = ", ".join(f"{len(names)} {part}" for part, names in split.items())
    say(f"{parts} tiles in {arguments.out}")


def _data_pack(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.data.arrays import pack_tiles
    from landslide_tf.data.check import tile_files

    check_output(arguments.out, tile_files(arguments.folder), arguments.overwrite)
    tiles = _read_tiles(arguments)
    pack_tiles(tiles, arguments.out, rgb_uint8=arguments.rgb_uint8)
    size = os.path.getsize(arguments.out) / 2**20
    say(f"{len(tiles)} tiles in {arguments.out} ({size:.1f} MiB)")


def _read_tiles(arguments, **fixed):
    """Tiles of a folder; fusion 'rgb' asks for no DEM and keeps those that are there."""
    from landslide_tf.data.arrays import load_tiles

    options = typed(arguments, fields(InputSpec)) | fixed
    spec = InputSpec(fusion="early" if options.get("terrain") else "rgb", **options)
    chosen = {n: getattr(arguments, n) for n in ("negatives", "skip_bad") if hasattr(arguments, n)}
    tiles = load_tiles(arguments.folder, spec, **chosen)
    for line in tiles.skipped:
        say(f"left out: {line}")
    warn(tiles.warnings)
    return tiles
