"""The command `export`: a finished run's model for other runtimes."""

from __future__ import annotations

from landslide_tf.cli.options import import_keras_quietly, run_parser
from landslide_tf.files import check_outputs

EXPORT_EXAMPLES = """examples:
  landslide export runs/first --format savedmodel
  landslide export runs/first --format onnx --out exported        also for QGIS' Deepness plugin
  landslide export runs/first --format litert --int8 tiles        calibrated on these tiles

onnx and litert need: pip install -r requirements-export.txt
exit code 1: the export differs from the Keras model too much; it was removed
"""


def export_parser(commands):
    """Add the command `export`."""
    parser = run_parser(
        commands, "export", "Write a finished run's model for other runtimes.", EXPORT_EXAMPLES
    )
    parser.add_argument("--format", required=True, metavar="{savedmodel,onnx,litert}")
    parser.add_argument(
        "--out", metavar="DIR", help="folder to write (default: RUN_DIR/export/FORMAT)"
    )
    parser.add_argument(
        "--int8", metavar="DIR", help="litert: also a file in int8, calibrated on these tiles"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace --out")
    parser.set_defaults(run=_export)


def _export(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.export.exporting import export_run
    from landslide_tf.training.run_folder import run_files

    if arguments.out:  # a folder that is replaced with all that is in it
        check_outputs([arguments.out], [*run_files(arguments.run_dir), arguments.int8])

    export_run(
        arguments.run_dir,
        arguments.format,
        arguments.out,
        int8=arguments.int8,
        overwrite=arguments.overwrite,
    )
