"""Resizing of batches of maps, written in `keras.ops`: one definition for every use.

Pixel centres lie at i + 0.5. Bilinear resizing is antialiased: the triangle of weights is as wide
as the coarser of the two pixels, as in `tf.image.resize(..., "bilinear", antialias=True)`.
"""

from __future__ import annotations

import functools

import numpy as np
from keras import ops


def resize_bilinear(values, size, valid=None):
    """Antialiased bilinear resize of (B, h, w, C) to `size` (H, W), ignoring pixels without data.

    `valid` (B, h, w, 1) is bool; a pixel that is not valid has no weight. Returns the values
    (B, H, W, C), float32, 0 where not valid, and their valid mask (B, H, W, 1), or None if `valid`
    is None. A new pixel is valid if at least half of its weight lies on valid pixels.

    >>> values, _ = resize_bilinear(np.array([[[[2.0], [4.0]]]], "float32"), (1, 1))
    >>> float(values[0, 0, 0, 0])
    3.0
    """
    values = ops.cast(values, "float32")
    if _same_size(values, size):
        return (values, None) if valid is None else (ops.where(valid, values, 0.0), valid)
    rows = _weights(ops.shape(values)[1], size[0])
    columns = _weights(ops.shape(values)[2], size[1])

    if valid is None:
        return _apply(rows, columns, values), None
    known = ops.concatenate([ops.where(valid, values, 0.0), ops.cast(valid, "float32")], axis=-1)
    known = _apply(rows, columns, known)
    total, weight = known[..., :-1], known[..., -1:]
    keep = weight >= 0.5
    return ops.where(keep, total / ops.maximum(weight, 0.5), 0.0), keep


def _apply(rows, columns, x):
    """x (B, h, w, C) resized to (B, H, W, C) by the weights `rows` (H, h) and `columns` (W, w)."""
    _, height, width, channels = ops.shape(x)
    lines = ops.matmul(rows, ops.reshape(x, (-1, height, width * channels)))
    lines = ops.swapaxes(ops.reshape(lines, (-1, ops.shape(rows)[0], width, channels)), 2, 3)
    return ops.swapaxes(ops.matmul(lines, ops.transpose(columns)), 2, 3)


def resize_nearest(values, size):
    """Nearest-neighbour resize of (B, h, w, C), of any type, to `size` (H, W).

    NumPy arrays give NumPy arrays.

    >>> np.asarray(resize_nearest(np.array([[[[0], [1]]]]), (1, 4)))[0, 0, :, 0].tolist()
    [0, 0, 1, 1]
    """
    if _same_size(values, size):
        return values
    take = np.take if isinstance(values, np.ndarray) else ops.take
    for axis, wanted in ((1, size[0]), (2, size[1])):
        have = ops.shape(values)[axis]
        library = np if _known(have, wanted) else ops
        # floor((i + 1/2) have / wanted), in whole numbers
        index = (2 * library.arange(wanted, dtype="int32") + 1) * have // (2 * wanted)
        values = take(values, index, axis=axis)
    return values


def resize_map(values, size) -> np.ndarray:
    """`resize_bilinear` of one map (h, w) to `size` (H, W), as NumPy.

    >>> resize_map(np.array([[2.0, 4.0]]), (1, 1)).tolist()
    [[3.0]]
    """
    resized, _ = resize_bilinear(np.asarray(values, "float32")[None, ..., None], size)
    return np.asarray(resized)[0, ..., 0]


def _known(*sizes) -> bool:
    return all(isinstance(size, int) for size in sizes)


def _same_size(values, size) -> bool:
    have = tuple(values.shape[1:3])
    return _known(*have, *size) and have == tuple(size)


def _weights(size_in, size_out):
    """Matrix (size_out, size_in), float32, whose rows sum to 1."""
    if _known(size_in, size_out):
        return _known_weights(size_in, size_out)
    weights = _triangles(
        ops,
        ops.cast(size_in, "float64"),
        ops.cast(size_out, "float64"),
        ops.arange(size_in, dtype="float64"),
        ops.arange(size_out, dtype="float64"),
    )
    return ops.cast(weights, "float32")


@functools.lru_cache(maxsize=512)
def _known_weights(size_in: int, size_out: int):
    inside, outside = np.arange(size_in, dtype="float64"), np.arange(size_out, dtype="float64")
    return _triangles(np, size_in, size_out, inside, outside).astype("float32")


def _triangles(library, size_in, size_out, inside, outside):
    scale = size_in / size_out
    support = library.maximum(scale, 1.0)
    centre = (outside[:, None] + 0.5) * scale - 0.5
    weights = library.maximum(0.0, 1.0 - library.abs(inside[None] - centre) / support)
    return weights / library.sum(weights, axis=1, keepdims=True)
