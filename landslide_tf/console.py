"""What the user reads while a command runs, on any kind of terminal or on none."""

from __future__ import annotations

import contextlib
import os
import sys


def say(message: str) -> None:
    """Print one line for the user, at once.

    A character that the terminal cannot show becomes '?'. Without a stdout (pythonw, the Python
    console of QGIS) nothing is printed.

    >>> say("split.json: 12 tiles")
    split.json: 12 tiles
    """
    with whole_streams():
        print(message, file=sys.stdout, flush=True)


def warn(notes) -> None:
    """Print warnings for the user, a line each.

    >>> warn(["the image is dark"])
    warning: the image is dark
    """
    for note in notes:
        say(f"warning: {note}")


@contextlib.contextmanager
def whole_streams():
    """Make sure that stdout and stderr exist in the block, and print '?' for what they cannot show.

    `pythonw` and the consoles inside some programs have no stdout or stderr. What is printed there
    is lost, which is intended. The function also serves as a decorator: `@whole_streams()`.

    >>> with contextlib.redirect_stdout(None), whole_streams():
    ...     print("nobody reads this, and nothing fails")
    """
    with contextlib.ExitStack() as stack:
        for name, redirect in (
            ("stdout", contextlib.redirect_stdout),
            ("stderr", contextlib.redirect_stderr),
        ):
            stream = getattr(sys, name)
            if stream is None:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(redirect(nowhere))
            # Streams of notebooks and of test tools have no encoding to set, and need none.
            elif hasattr(stream, "reconfigure") and stream.errors == "strict":
                stream.reconfigure(errors="replace")
                stack.callback(stream.reconfigure, errors="strict")
        yield


def progress_bar(*arguments, **options):
    """A bar of `tqdm` on a terminal; nothing elsewhere, nor without a stderr.

    >>> list(progress_bar(range(3), "counting"))
    [0, 1, 2]
    """
    from tqdm import tqdm

    return tqdm(*arguments, disable=True if sys.stderr is None else None, **options)
