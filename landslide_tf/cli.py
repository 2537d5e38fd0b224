"""The command line. `--help` imports neither TensorFlow, Keras nor NumPy."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import sys

from landslide_tf.checks import InputError, JobError
from landslide_tf.config import PRESETS, TrainConfig

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
DATA_EXAMPLES = """examples:
  landslide data check Bijie-landslide-dataset
  landslide data demo demo-tiles
  landslide data split tiles split.json --by group --test-prefix B
  landslide data pack tiles tiles.npz --rgb-uint8
"""


def main(argv: list[str] | None = None, *, command: str | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 bad input or option, 1 failed.

    `command` puts one subcommand in front, as `train.py` does with 'train'.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser, words = (_parser(), argv) if command is None else (_train_parser(), argv)
    arguments = parser.parse_args(words)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return 2
    # TensorFlow's start-up notes would hide our messages; naming the default of the second
    # silences the note that it is in force.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        arguments.run(arguments)
    except InputError as error:
        return _fail(error, 2)
    except JobError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; finished epochs are kept, continue with --resume", 1)
    except MemoryError:
        return _fail("out of memory; try a smaller --batch-size, or --cache DIR", 1)
    except OSError as error:
        return _fail(*_os_error(error))
    return 0


def _fail(message, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _os_error(error: OSError) -> tuple[str, int]:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full; free some space and continue with --resume", 1
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}cannot be written or read ({error.strerror}); choose another place", 2
    return f"{where}{error.strerror or error}", 1


class _Parser(argparse.ArgumentParser):
    """One line for a wrong option, as for all other bad input."""

    def error(self, message):
        self.exit(_fail(f"{message}; see {self.prog} --help", 2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="landslide", description="Landslide segmentation from imagery and elevation."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    _train_parser(commands)
    _evaluate_parser(commands)
    _predict_parser(commands)
    _data_parser(commands)
    return parser


def _version() -> str:
    from landslide_tf import __version__

    return __version__


def _new_parser(commands, name, summary, epilog):
    options = {
        "description": summary,
        "epilog": epilog,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    if commands is None:
        return _Parser(**options)
    return commands.add_parser(name, help=summary, **options)


# ---- train -------------------------------------------------------------------------------------


def _train_parser(commands=None):
    parser = _new_parser(commands, "train", "Train and score one model.", TRAIN_EXAMPLES)
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


def add_config_options(parser, *, only: tuple[str, ...] | None = None) -> None:
    """Options for the fields of `TrainConfig`; what is not typed is absent from the result."""
    groups = {}
    for f in dataclasses.fields(TrainConfig):
        if only is not None and f.name not in only:
            continue
        title = f.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        options = {"default": argparse.SUPPRESS, "help": _help(f)}
        if isinstance(f.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = _value_type(f)
            # Only the metavar lists the choices: TrainConfig checks them, with a better message.
            options["metavar"] = _metavar(f)
        groups[title].add_argument("--" + f.name.replace("_", "-"), dest=f.name, **options)


def _metavar(f) -> str:
    if f.metadata["choices"]:
        return "{" + ",".join(f.metadata["choices"]) + "}"
    return f.metadata["metavar"] or {int: "N", float: "X"}.get(_value_type(f), "NAME")


def _value_type(f):
    names = {
        "tuple[str, ...]": _names,
        "tuple[float, float] | None": _numbers,
        "float | None": float,
        "int | None": int,
        "str | None": str,
    }
    return names.get(f.type) or {"int": int, "float": float, "str": str}[f.type]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _help(f) -> str:
    demo = PRESETS["demo"].get(f.name)
    if f.default is None or f.default == ():
        return f.metadata["help"]
    if f.name == "preset":
        return f"{f.metadata['help']} (default: paper with --data, demo without)"
    default = {True: "on", False: "off"}.get(f.default, f.default) if isinstance(
        f.default, bool
    ) else f.default  # fmt: skip
    extra = "" if demo is None else f"; preset demo: {'on' if demo is True else demo}"
    return f"{f.metadata['help']} (default: {default}{extra})"


def _config(arguments) -> TrainConfig:
    names = {f.name for f in dataclasses.fields(TrainConfig)}
    typed = {name: value for name, value in vars(arguments).items() if name in names}
    preset = typed.pop("preset", "paper" if "data" in typed else "demo")
    return TrainConfig.from_preset(preset, **typed)


def _train(arguments) -> None:
    config = _config(arguments)
    if config.data is None:
        differs = ", ".join(
            f"{name.replace('_', '-')} {getattr(config, name)} (paper {f.default})"
            for f in dataclasses.fields(TrainConfig)
            if (name := f.name) in PRESETS["demo"] and getattr(config, name) != f.default
        )
        print(f"No --data: training on the built-in synthetic demo terrain; {differs}", flush=True)
    from landslide_tf import training

    training.fit(
        config,
        arguments.out,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        cache=arguments.cache,
        tensorboard=arguments.tensorboard,
        command=["python", *_shown_command()],
    )


def _shown_command() -> list[str]:
    program = os.path.basename(sys.argv[0])
    return [{"__main__.py": "-m landslide_tf", "landslide": "-m landslide_tf"}.get(program, program),
            *sys.argv[1:]]  # fmt: skip


# ---- evaluate, predict -------------------------------------------------------------------------


def _evaluate_parser(commands):
    parser = _new_parser(
        commands, "evaluate", "Score a finished run again, or on other data.", EVALUATE_EXAMPLES
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", help="folder of a complete run")
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
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable tiles")
    parser.add_argument("--out", metavar="FILE", help="also write the scores as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments) -> None:
    from landslide_tf import inference

    inference.evaluate_run(
        arguments.run_dir,
        data=arguments.data,
        part=arguments.part,
        recall=arguments.recall,
        negatives=arguments.negatives,
        skip_bad=arguments.skip_bad,
        out=arguments.out,
        overwrite=arguments.overwrite,
    )


def _predict_parser(commands):
    parser = _new_parser(
        commands, "predict", "Write probability and mask files for tiles.", PREDICT_EXAMPLES
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", help="folder of a complete run")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="tiles in Bijie's layout; masks are not needed"
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
    from landslide_tf import inference

    inference.predict_folder(
        arguments.run_dir,
        arguments.data,
        arguments.out,
        threshold=arguments.threshold,
        negatives=arguments.negatives,
        skip_bad=arguments.skip_bad,
        overwrite=arguments.overwrite,
    )


# ---- data --------------------------------------------------------------------------------------

READ_OPTIONS = (
    "tile_px",
    "negatives",
    "terrain",
    "resolution_m",
    "nodata",
    "rgb_scale",
    "skip_bad",
)


def _data_parser(commands):
    data = _new_parser(commands, "data", "Check, make, split or pack tiles.", DATA_EXAMPLES)
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)

    check = _new_parser(actions, "check", "Report what a folder of tiles holds.", None)
    check.add_argument("folder", metavar="DIR")
    check.add_argument(
        "--nodata", type=float, metavar="V", help="this value is no data in images and DEMs"
    )
    check.set_defaults(run=_data_check)

    demo = _new_parser(actions, "demo", "Write the synthetic demo tiles.", None)
    demo.add_argument("folder", metavar="DIR")
    demo.add_argument("--seed", type=int, default=0, help="of the terrain (default: 0)")
    demo.set_defaults(run=_data_demo)

    split = _new_parser(actions, "split", "Write a split file for train --split FILE.", None)
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
    add_config_options(split, only=("negatives", "nodata", "skip_bad"))
    split.set_defaults(run=_data_split)

    pack = _new_parser(actions, "pack", "Pack resized tiles into one NumPy file.", None)
    pack.add_argument("folder", metavar="DIR")
    pack.add_argument("out", metavar="OUT.npz")
    pack.add_argument(
        "--rgb-uint8", action="store_true", help="RGB in 256 steps: a third of the size"
    )
    pack.add_argument("--overwrite", action="store_true", help="replace OUT.npz")
    add_config_options(pack, only=READ_OPTIONS)
    pack.set_defaults(run=_data_pack)


def _data_check(arguments) -> None:
    from landslide_tf.data.report import check_folder, format_report

    report = check_folder(arguments.folder, nodata=arguments.nodata)
    print(format_report(report))
    if report["unreadable"] or report["unpaired"]:
        count = len(report["unreadable"]) + len(report["unpaired"])
        raise InputError(f"{arguments.folder}: {count} problem(s), listed above")


def _data_demo(arguments) -> None:
    from landslide_tf.data.demo import write_demo

    count = write_demo(arguments.folder, seed=arguments.seed)
    print(f"{count} tiles in {arguments.folder}")


def _data_split(arguments) -> None:
    from landslide_tf.checks import check_choice
    from landslide_tf.data.split import make_split, split_content
    from landslide_tf.files import write_json

    check_choice("by", arguments.by, ("random", "group"))
    _check_absent(arguments.out, arguments.overwrite)
    tiles = _read_tiles(arguments, tile_px=16)
    split = make_split(tiles, arguments.by, arguments.seed, arguments.test_prefix)
    write_json(arguments.out, split_content(split, tiles))
    print(
        ", ".join(f"{len(names)} {part}" for part, names in split.items()),
        "tiles in",
        arguments.out,
    )


def _data_pack(arguments) -> None:
    from landslide_tf.data.tiles import pack_tiles

    _check_absent(arguments.out, arguments.overwrite)
    tiles = _read_tiles(arguments)
    pack_tiles(tiles, arguments.out, rgb_uint8=arguments.rgb_uint8)
    size = os.path.getsize(arguments.out) / 2**20
    print(f"{len(tiles)} tiles in {arguments.out} ({size:.1f} MiB)")


def _read_tiles(arguments, **fixed):
    """Tiles of a folder, with or without DEM (fusion 'rgb' asks for none and keeps what is there)."""
    from landslide_tf.data.tiles import load_tiles

    typed = {name: value for name, value in vars(arguments).items() if name in READ_OPTIONS}
    fusion = "early" if typed.get("terrain") else "rgb"
    tiles = load_tiles(arguments.folder, TrainConfig(fusion=fusion, **typed, **fixed))
    for line in tiles.skipped:
        print(f"left out: {line}")
    return tiles


def _check_absent(path, overwrite: bool) -> None:
    if os.path.exists(path) and not overwrite:
        raise InputError(f"{path}: exists; give --overwrite to replace it, or another name")


def entry() -> None:
    """The installed command `landslide`."""
    sys.exit(main())
