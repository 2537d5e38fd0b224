"""Errors that the user reads, and checks shared by all layers. No third-party imports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input or a bad option: one line with the file or option and the repair. Exit code 2.

    >>> raise InputError("tiles: holds no landslide/; give a folder in one of the layouts")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: tiles: holds no landslide/; give a folder in one of the layouts
    """


class JobError(RuntimeError):
    """A job that failed on its way (NaN, full disk) with its state kept. Exit code 1.

    >>> raise JobError("training diverged in epoch 7; lower --learning-rate and give --resume")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.JobError: training diverged in epoch 7; lower --learning-rate and ...
    """


def check_choice(name: str, value, choices: Iterable) -> None:
    """Raise `InputError` unless `value` is one of `choices`, which the message lists.

    >>> check_choice("model", "unet", ("unet", "resunet"))
    >>> check_choice("model", "unett", ("unet", "resunet"))
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `model` must be one of 'unet', 'resunet'. Received: 'unett'
    """
    choices = tuple(choices)
    if value not in choices:
        raise InputError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {value!r}"
        )


@contextlib.contextmanager
def naming(path):
    """Put a file's name before the `InputError` that the block raises.

    >>> with naming("scene.tif"):
    ...     raise InputError("the CRS cannot be understood")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: scene.tif: the CRS cannot be understood
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def check_multiple(height: int | None, width: int | None) -> None:
    """Raise `InputError` unless height and width (pixels) can be halved four times; None passes.

    >>> check_multiple(128, None)
    >>> check_multiple(250, 256)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: height and width must be divisible by 16. Received 250 x 256; \
use 256 x 256
    """
    sizes = [height, width]
    if any(size is not None and (size < 16 or size % 16) for size in sizes):
        up = [size if size is None else max(1, -(-size // 16)) * 16 for size in sizes]
        raise InputError(
            f"height and width must be divisible by 16. Received {height} x {width}; "
            f"use {up[0]} x {up[1]}"
        )
