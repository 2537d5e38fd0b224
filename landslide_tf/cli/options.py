"""What all commands share: parsers, and options made from the fields of dataclasses."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from landslide_tf.checks import InputError
from landslide_tf.config import PRESETS, TrainConfig, option_fields
from landslide_tf.console import whole_streams
from landslide_tf.files import check_outputs


def fail(message, code: int) -> int:
    """Print one line to standard error; returns `code`.

    >>> fail("tiles: does not exist", 2)  # prints: error: tiles: does not exist
    2
    """
    with whole_streams():
        print(f"error: {message}", file=sys.stderr)
    return code


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that answers a wrong option with one line, as for all bad input.

    >>> Parser(prog="landslide").parse_args(["--modle"])
    Traceback (most recent call last):
        ...
    SystemExit: 2
    """

    def error(self, message):
        """Print the message and where help is, and exit with 2."""
        self.exit(fail(f"{message}; see {self.prog} --help", 2))


def new_parser(commands, name, summary, epilog):
    """The parser of a command, added to `commands` or alone (None); `epilog` keeps its lines.

    >>> parser = new_parser(None, "count", "Count tiles.", "examples:\\n  count tiles")
    >>> parser.format_help().splitlines()[-2:]
    ['examples:', '  count tiles']
    """
    options = {
        "description": summary,
        "epilog": epilog,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    if commands is None:
        return Parser(**options)
    return commands.add_parser(name, help=summary, **options)


def run_parser(commands, name, summary, epilog):
    """`new_parser` of a command about a complete run, its first argument `run_dir`."""
    parser = new_parser(commands, name, summary, epilog)
    parser.add_argument(
        "run_dir", metavar="RUN_DIR", help="folder of a complete run, or a packaged model"
    )
    return parser


def add_config_options(parser, *, only: tuple[str, ...] | None = None) -> None:
    """`add_options` for the fields of `TrainConfig` and its `InputSpec`, all or some of them.

    >>> parser = Parser()
    >>> add_config_options(parser, only=("filters", "augment"))
    >>> parser.parse_args(["--augment", "flips,light"])
    Namespace(augment=('flips', 'light'))
    """
    add_options(parser, [f for f in option_fields() if only is None or f.name in only])


def add_options(parser, fields) -> None:
    """Options for dataclass fields made by `option`; what is not typed is absent from the result.

    >>> from dataclasses import fields
    >>> from landslide_tf.geo.settings import CutOptions
    >>> parser = Parser()
    >>> add_options(parser, fields(CutOptions))
    >>> parser.parse_args(["--tile-px", "64"])
    Namespace(tile_px=64)
    """
    for f in fields:
        if not f.metadata:
            continue
        options = {"default": argparse.SUPPRESS, "help": _help(f)}
        if isinstance(f.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = VALUE_TYPES[f.type]
            # Only the metavar lists the choices: the dataclass checks them, with a better message.
            options["metavar"] = _metavar(f)
        if f.name == "augment":  # alone: what most data can bear
            options |= {"nargs": "?", "const": ("flips", "light")}
        name = "--" + f.name.replace("_", "-")
        group(parser, f.metadata["group"]).add_argument(name, dest=f.name, **options)


def group(parser, title: str):
    """The group of a parser's options under a heading, made if there is none yet."""
    found = [old for old in parser._action_groups if old.title == title]
    return found[0] if found else parser.add_argument_group(title)


def typed(arguments, fields) -> dict:
    """Those options of `add_options` that were typed, by name.

    >>> typed(argparse.Namespace(filters=8, out="runs/a"), option_fields())
    {'filters': 8}
    """
    names = [f.name for f in fields if hasattr(arguments, f.name)]
    return {name: getattr(arguments, name) for name in names}


def typed_config(arguments) -> TrainConfig:
    """The config that was typed; the preset is 'demo' where no data are given.

    >>> typed_config(argparse.Namespace(filters=16)).epochs
    20
    """
    options = typed(arguments, option_fields())
    preset = options.pop("preset", "paper" if "data" in options else "demo")
    return TrainConfig.from_preset(preset, **options)


def _metavar(f) -> str:
    if f.metadata["choices"]:
        return "{" + ",".join(f.metadata["choices"]) + "}"
    return f.metadata["metavar"] or {int: "N", float: "X"}.get(VALUE_TYPES[f.type], "NAME")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str) -> tuple[float, ...]:
    """The numbers in a text, separated by commas."""
    return tuple(float(number) for number in text.split(","))


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


# How the text of an option becomes its value, by the annotation of its field.
VALUE_TYPES = {
    "tuple[str, ...]": _names,
    "tuple[float, float] | None": numbers,
    "tuple[float, ...]": numbers,
    "tuple[int, int, int] | None": _whole_numbers,
    "float | tuple[float, ...] | None": numbers,
    "float | None": float,
    "int | None": int,
    "str | None": str,
    "float": float,
    "int": int,
    "str": str,
}


def _help(f) -> str:
    demo = PRESETS["demo"].get(f.name) if f in option_fields() else None
    if f.default is None or f.default == ():
        return f.metadata["help"]
    if f.name == "preset":
        return f"{f.metadata['help']} (default: paper with --data, demo without)"
    words = {True: "on", False: "off"} if isinstance(f.default, bool) else {}
    extra = "" if demo is None else f"; preset demo: {words.get(demo, demo)}"
    return f"{f.metadata['help']} (default: {words.get(f.default, f.default)}{extra})"


def import_keras_quietly() -> None:
    """Import Keras without the notes that TensorFlow's C++ code prints while it starts.

    pyogrio is imported before it. Libraries that are loaded after TensorFlow use TensorFlow's
    SQLite, which has no spatial index; pyogrio would then write GeoPackages without one.

    >>> import_keras_quietly()
    >>> "keras" in sys.modules
    True
    """
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # It warns of retracing when several models predict in one process, as they are meant to.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    import pyogrio  # noqa: F401

    with _silent_stderr():
        import keras

        if keras.backend.backend() == "tensorflow":  # its first look for GPUs complains of none
            keras.distribution.list_devices()


@contextlib.contextmanager
def _silent_stderr():
    """Send what C++ code prints to the process's stderr nowhere; there may be none (pythonw)."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def check_output(path, inputs, overwrite: bool) -> None:
    """Raise `InputError` where `path` is one of `inputs`, or exists and may not be replaced.

    >>> check_output("new.json", ["tiles"], overwrite=False)
    >>> check_output(".", [], overwrite=False)
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: .: exists; give --overwrite to replace it, or another name
    """
    check_outputs([path], inputs)
    if os.path.exists(path) and not overwrite:
        raise InputError(f"{path}: exists; give --overwrite to replace it, or another name")
