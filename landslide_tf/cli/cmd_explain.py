"""The command `explain`: Grad-CAM maps, and what the model makes of each input band."""

from __future__ import annotations

from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.cli.options import import_keras_quietly, run_parser
from landslide_tf.console import say
from landslide_tf.files import check_outputs

EXPLAIN_EXAMPLES = """examples:
  landslide explain runs/unetpp-contextual-dice-001 --out explained
  landslide explain runs/first --tiles DIR --names df003,hz001 --region mask --out explained
  landslide explain runs/first --list-layers
  landslide explain runs/first --layer encoder2_relu2 --layer decoder1_relu2 --out explained
"""


def explain_parser(commands):
    """Add the command `explain`."""
    parser = run_parser(
        commands, "explain", "Show what a finished run's model looks at.", EXPLAIN_EXAMPLES
    )
    parser.add_argument(
        "--tiles", metavar="DIR", help="folder of tiles; masks are not needed (default: the run's)"
    )
    parser.add_argument(
        "--part",
        metavar="{train,validation,test}",
        help="of the run's own tiles (default: test)",
    )
    parser.add_argument(
        "--names",
        metavar="NAME[,NAME]",
        help="these tiles (default: the median, a small and a large landslide, and a failure)",
    )
    parser.add_argument(
        "--count", type=int, metavar="N", help="this many tiles, evenly spaced by name"
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="of this layer (default: last encoder level and last decoder block)",
    )
    parser.add_argument("--list-layers", action="store_true", help="the layers there are")
    parser.add_argument(
        "--region",
        default="prediction",
        metavar="{prediction,mask,all}",
        help="pixels whose logits are explained (default: prediction)",
    )
    parser.add_argument("--out", metavar="DIR", help="folder to write to")
    parser.add_argument("--overwrite", action="store_true", help="replace files in --out")
    parser.set_defaults(run=_explain)


def _explain(arguments) -> None:
    if not (arguments.out or arguments.list_layers):
        raise InputError("explain needs --out DIR")
    if arguments.out and arguments.tiles:
        from landslide_tf.data.check import tile_files

        out, names = Path(arguments.out), ("gradcam.png", "occlusion.csv", "explain.json")
        written = [*out.glob("*_gradcam.tif"), *(out / name for name in names)]
        check_outputs(written, tile_files(arguments.tiles))
    import_keras_quietly()
    from landslide_tf.runs import explain, gradcam
    from landslide_tf.runs.run import load_run

    if arguments.list_layers:
        for layer in gradcam.layers_to_explain(load_run(arguments.run_dir).model):
            say(f"{layer.name:<32}{' x '.join(map(str, layer.output.shape[1:]))}")
        return
    explain.explain_run(
        arguments.run_dir,
        arguments.out,
        chosen=explain.Chosen(
            tiles=arguments.tiles,
            part=arguments.part,
            names=tuple(arguments.names.split(",")) if arguments.names else (),
            count=arguments.count,
        ),
        layers=tuple(arguments.layer),
        region=arguments.region,
        overwrite=arguments.overwrite,
    )
