"""The commands about models: train, evaluate, predict, export, models."""

from __future__ import annotations

import os
import sys
import textwrap

from landslide_tf.cli.options import (
    add_config_options,
    check_output,
    import_keras_quietly,
    new_parser,
    run_parser,
    typed_config,
)
from landslide_tf.config import PRESETS, option_fields
from landslide_tf.console import say
from landslide_tf.files import check_outputs, write_json

TRAIN_EXAMPLES = """examples:
  python train.py                                   the demo terrain, a few minutes
  python train.py --model unetpp --attention contextual
  python train.py --data Bijie-landslide-dataset --model unetpp --attention contextual
  python train.py --data tiles --model resunet --loss wce --filters 16 --out runs/first
  python train.py --data tiles --out runs/first --resume

exit codes: 0 done, 2 bad input or option, 1 failed on the way (continue with --resume)
"""
EVALUATE_EXAMPLES = """examples:
  landslide evaluate runs/unetpp-contextual-dice-001
  landslide evaluate runs/unetpp-contextual-dice-001 --part validation --recall 0.9
  landslide evaluate runs/unetpp-contextual-dice-001 --data other-tiles --out scores.json
"""
PREDICT_EXAMPLES = """example:
  landslide predict runs/unetpp-contextual-dice-001 --data tiles --out predicted
"""
EXPORT_EXAMPLES = """examples:
  landslide export runs/first --format savedmodel
  landslide export runs/first --format onnx --out exported        also for QGIS' Deepness plugin
  landslide export runs/first --format litert --int8 tiles        calibrated on these tiles

onnx and litert need: pip install -r requirements-export.txt
exit code 1: the export differs from the Keras model too much; it was removed
"""
MODELS_EXAMPLES = """examples:
  landslide models                     the models that come with the package
  landslide models bijie-rgb           the card of one
  landslide map --model bijie-rgb --image scene.tif --out map
"""
# Entries of a card, and what `landslide models NAME` calls them.
CARD_ENTRIES = {
    "input": "input",
    "pixel": "pixel size",
    "data": "trained on",
    "terms": "terms of the data",
    "scores": "scores",
    "use": "good for",
    "not_for": "no good for",
    "recipe": "recipe",
}


def train_parser(commands=None):
    """Add the command `train`."""
    parser = new_parser(commands, "train", "Train and score one model.", TRAIN_EXAMPLES)
    add_config_options(parser)
    run = parser.add_argument_group("run")
    run.add_argument(
        "--out", metavar="DIR", help="run folder (default: runs/MODEL-ATTENTION-LOSS-NNN)"
    )
    run.add_argument(
        "--resume", action="store_true", help="continue an incomplete run; start if there is none"
    )
    run.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    run.add_argument(
        "--cache", metavar="DIR", help="keep decoded tiles on disk here (default: in memory)"
    )
    run.add_argument("--tensorboard", action="store_true", help="also write a TensorBoard log")
    parser.set_defaults(run=_train)
    return parser


def _train(arguments) -> None:
    config = typed_config(arguments)
    if config.data is None:
        options = config.options()
        differs = ", ".join(
            f"{f.name.replace('_', '-')} {options[f.name]} (paper {f.default})"
            for f in option_fields()
            if f.name in PRESETS["demo"] and options[f.name] != f.default
        )
        say(f"No --data: training on the built-in synthetic demo terrain; {differs}")
    import_keras_quietly()
    from landslide_tf.training.fit import Extras, fit

    fit(
        config,
        arguments.out,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        extras=Extras(
            cache=arguments.cache,
            tensorboard=arguments.tensorboard,
            command=["python", *_shown_command()],
        ),
    )


def _shown_command() -> list[str]:
    program = os.path.basename(sys.argv[0])
    return [program if program == "train.py" else "-m landslide_tf", *sys.argv[1:]]


def evaluate_parser(commands):
    """Add the command `evaluate`."""
    parser = run_parser(
        commands, "evaluate", "Score a finished run again, or on other data.", EVALUATE_EXAMPLES
    )
    parser.add_argument("--data", metavar="DIR", help="other tiles (default: the run's own)")
    parser.add_argument(
        "--part",
        metavar="{train,validation,test,all}",
        help="of the run's split (default: test; all with --data of another set)",
    )
    parser.add_argument(
        "--recall",
        type=float,
        metavar="R",
        help="also score at the threshold that finds this share of landslide pixels on validation",
    )
    parser.add_argument(
        "--negatives", action="store_true", help="add the tiles of non-landslide/: false alarms"
    )
    parser.add_argument(
        "--dem",
        default="own",
        metavar="{own,zero,others}",
        help="score without the DEM, or with other tiles' DEMs: what does the model make of it?",
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable tiles")
    parser.add_argument("--out", metavar="FILE", help="also write the scores as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.data.check import tile_files
    from landslide_tf.runs.evaluate import evaluate_run
    from landslide_tf.training.run_folder import run_files

    if arguments.out:
        data = [] if arguments.data is None else tile_files(arguments.data)
        check_output(arguments.out, [*run_files(arguments.run_dir), *data], arguments.overwrite)
    result = evaluate_run(
        arguments.run_dir,
        data=arguments.data,
        part=arguments.part,
        recall=arguments.recall,
        negatives=arguments.negatives,
        dem=arguments.dem,
        skip_bad=arguments.skip_bad,
    )
    if arguments.out:
        write_json(arguments.out, result)


def predict_parser(commands):
    """Add the command `predict`."""
    parser = run_parser(
        commands, "predict", "Write probability and mask files for tiles.", PREDICT_EXAMPLES
    )
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="folder of tiles; masks are not needed"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="default: the one chosen on validation"
    )
    parser.add_argument("--negatives", action="store_true", help="also the tiles of non-landslide/")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable tiles")
    parser.add_argument("--overwrite", action="store_true", help="replace files in --out")
    parser.set_defaults(run=_predict)


def _predict(arguments) -> None:
    import_keras_quietly()
    from landslide_tf.runs.predict import predict_folder

    predict_folder(
        arguments.run_dir,
        arguments.data,
        arguments.out,
        threshold=arguments.threshold,
        negatives=arguments.negatives,
        skip_bad=arguments.skip_bad,
        overwrite=arguments.overwrite,
    )


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


def models_parser(commands):
    """Add the command `models`."""
    parser = new_parser(commands, "models", "List the models that come with it.", MODELS_EXAMPLES)
    parser.add_argument("name", metavar="NAME", nargs="?", help="show the card of this model")
    parser.set_defaults(run=_models)


def _models(arguments) -> None:
    from landslide_tf.training.packaged import packaged_models, read_card

    if arguments.name is None:
        for name in packaged_models():
            say(f"{name}: {read_card(name)['title']}")
        say("'landslide models NAME' shows the card of one, 'landslide map --model NAME' uses it")
        return
    card = read_card(arguments.name)
    say(f"{arguments.name}: {card['title']}")
    for key, title in CARD_ENTRIES.items():
        text = card[key]
        for line in [text] if isinstance(text, str) else text:
            say(textwrap.fill(line, 98, initial_indent=f"  {title}: ", subsequent_indent="    "))
