"""Options as dataclass fields, which the command line reads too, and checks of their numbers."""

from __future__ import annotations

import dataclasses
import math
import operator
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


def plain(value):
    """Convert a NumPy number, or a list or tuple of such numbers, to Python's own types.

    JSON can write only these types. A list becomes a tuple; any other value is returned unchanged.

    >>> import numpy as np
    >>> plain(np.int64(3)), plain((np.float32(0.5), 1)), plain("a")
    (3, (0.5, 1), 'a')
    """
    if isinstance(value, (list, tuple)):
        return tuple(plain(item) for item in value)
    scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if scalar else value


def make_plain(options) -> None:
    """`plain` for each field of a frozen dataclass, in place."""
    for f in dataclasses.fields(options):
        object.__setattr__(options, f.name, plain(getattr(options, f.name)))


def check_number(name, value, low=None, above=None, below=None, high=None, whole=False):
    """Raise `InputError` unless `value` is a finite number within the bounds that are given.

    >>> check_number("epochs", 0, low=1, whole=True)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `epochs` must be at least 1. Received: 0
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    rules = []
    if whole and not isinstance(value, int):
        ok = False
        rules.append("a whole number")
    for bound, words, holds in (
        (low, "at least", operator.ge),
        (above, "above", operator.gt),
        (below, "below", operator.lt),
        (high, "at most", operator.le),
    ):
        if bound is not None:
            ok = ok and holds(value, bound)
            rules.append(f"{words} {bound}")
    if not ok:
        must = " and ".join(rules) or "a finite number"
        raise InputError(f"`{name}` must be {must}. Received: {value!r}")
