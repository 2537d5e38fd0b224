"""What the user reads while a command runs."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """One line for the user, at once.

    >>> say("split.json: 12 tiles")
    split.json: 12 tiles
    """
    print(message, file=sys.stdout, flush=True)
