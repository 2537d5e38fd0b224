"""Options as dataclass fields, which the command line reads too, and checks of their numbers."""

from __future__ import annotations

import math
from dataclasses import field

from landslide_tf.checks import InputError


def option(default, help, *, group="model", choices=None, metavar=None):  # noqa: A002
    """A dataclass field that is also an option of the command line.

    `group` is its heading in `--help`, `choices` are its legal values, `metavar` stands for its
    value in `--help`.
    """
    return field(
        default=default,
        metadata={"help": help, "group": group, "choices": choices, "metavar": metavar},
    )


def check_number(name, value, low=None, above=None, below=None, high=None, whole=False):
    """Raise `InputError` unless `value` is a finite number within the bounds that are given.

    >>> check_number("epochs", 0, low=1, whole=True)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `epochs` must be at least 1. Received: 0
    """
    rules = []
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if whole:
        ok = ok and value == int(value) and isinstance(value, int)
        rules.append("a whole number")
    if low is not None:
        ok = ok and value >= low
        rules.append(f"at least {low}")
    if above is not None:
        ok = ok and value > above
        rules.append(f"above {above}")
    if below is not None:
        ok = ok and value < below
        rules.append(f"below {below}")
    if high is not None:
        ok = ok and value <= high
        rules.append(f"at most {high}")
    if not ok:
        if whole and isinstance(value, int):
            rules.remove("a whole number")
        must = " and ".join(rules) or "a finite number"
        raise InputError(f"`{name}` must be {must}. Received: {value!r}")
