"""The command line. `--help` imports neither TensorFlow, Keras nor NumPy."""

from __future__ import annotations

import errno
import sys

from landslide_tf import __version__
from landslide_tf.checks import InputError, JobError
from landslide_tf.cli.cmd_app import app_parser
from landslide_tf.cli.cmd_benchmark import benchmark_parser
from landslide_tf.cli.cmd_data import data_parser
from landslide_tf.cli.cmd_explain import explain_parser
from landslide_tf.cli.cmd_map import map_parser
from landslide_tf.cli.cmd_model import (
    evaluate_parser,
    export_parser,
    models_parser,
    predict_parser,
    train_parser,
)
from landslide_tf.cli.cmd_study import study_parser
from landslide_tf.cli.options import Parser, fail
from landslide_tf.console import whole_streams
from landslide_tf.files import disk_is_full


@whole_streams()
def main(argv: list[str] | None = None, parser=None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 bad input or option, 1 failed.

    `argv` is `sys.argv[1:]` by default, `parser` that of all commands. A wrong option and `--help`
    raise SystemExit, as argparse does.

    >>> main(["data", "check", "no-such-folder"])  # and one line that says so
    2
    """
    parser = parser or all_commands()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return 2
    try:
        arguments.run(arguments)
    except InputError as error:
        return fail(error, 2)
    except JobError as error:
        return fail(error, 1)
    except KeyboardInterrupt:
        return fail("interrupted; what is finished is kept, continue with --resume", 1)
    except MemoryError:
        return fail("out of memory; try a smaller --batch-size, or --cache DIR", 1)
    except UnicodeEncodeError as error:  # GDAL knows names in UTF-8 alone
        return fail(f"{error.object}: the name is not in UTF-8; rename the file or folder", 2)
    except OSError as error:
        return fail(*_os_error(error, hasattr(arguments, "resume")))
    return 0


def run(words: list[str]) -> None:
    """The command line for notebooks: `run(["train", "--model", "unet"])`.

    Raises:
        RuntimeError: the command failed or an option is wrong; the error line was printed.

    >>> run(["data", "split", "tiles", "split.json"])
    8 train, 2 validation, 2 test tiles in split.json
    """
    words = [str(word) for word in words]
    try:
        code = main(words)
    except SystemExit as stop:  # a wrong option, or --help
        code = stop.code
    if code:
        command = " ".join(["landslide", *words[:1]])
        raise RuntimeError(f"{command} ended with exit code {code}, see the line above")


def _os_error(error: OSError, resumable: bool) -> tuple[str, int]:
    again = "continue with --resume" if resumable else "give the command again"
    where = f"{error.filename}: " if error.filename else ""
    if disk_is_full(error):
        return f"{where}the disk or your quota is full; free some space and {again}", 1
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}cannot be written or read ({error.strerror}); choose another place", 2
    return f"{where}{error.strerror or error}", 1


def all_commands() -> Parser:
    """The parser of `landslide COMMAND …`.

    >>> all_commands().parse_args(["train", "--model", "unetpp", "--filters", "16"]).filters
    16
    """
    parser = Parser(
        prog="landslide", description="Landslide segmentation from imagery and elevation."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    train_parser(commands)
    evaluate_parser(commands)
    predict_parser(commands)
    explain_parser(commands)
    export_parser(commands)
    map_parser(commands)
    models_parser(commands)
    app_parser(commands)
    data_parser(commands)
    study_parser(commands)
    benchmark_parser(commands)
    return parser


def entry() -> None:
    """The installed command `landslide`: `main`, and its exit code to the shell.

    >>> sys.argv = ["landslide", "data", "check", "no-such-folder"]
    >>> entry()
    Traceback (most recent call last):
        ...
    SystemExit: 2
    """
    sys.exit(main())
