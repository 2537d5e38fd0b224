"""The command that fetches public data sets: data download."""

from __future__ import annotations

from landslide_tf.checks import JobError
from landslide_tf.cli.options import new_parser
from landslide_tf.console import say


def download_parser(actions) -> None:
    """Add the command `data download`."""
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
    parser.set_defaults(run=_download)


def _download(arguments) -> None:
    from landslide_tf.data.download import download

    try:
        folder = download(arguments.name, arguments.folder or arguments.name)
    except KeyboardInterrupt:
        raise JobError("interrupted; run the same command to go on") from None
    say(f"done; look at it with: landslide data check {folder}")
