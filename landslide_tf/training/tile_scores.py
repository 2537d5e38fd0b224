"""Pixel counts of each scored tile, small enough to keep with a run when its weights are not.

Intervals, comparisons of runs, precision-recall and reliability curves are made of these counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from zipfile import ZIP_BZIP2, ZipFile

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.files import atomic_path, reading
from landslide_tf.metrics import landslide_pixels

# Edges of the bins of probability. Every threshold that can be chosen is an edge. The bins become
# narrower towards 0 and 1, so that the AUC of models with saturated probabilities is right too.
_TAIL = 10.0 ** -np.arange(2.25, 7, 0.25)
EDGES = np.unique(
    np.concatenate([_TAIL, np.round(np.arange(0.01, 1, 0.01), 2), 1 - _TAIL]).astype("float32")
)
BINS = len(EDGES) + 1


@dataclass(frozen=True)
class TileScores:
    """Pixel counts of N tiles with M landslides.

    `names` (N,) are those of the tiles. `histogram` (N, 2, BINS) counts valid pixels by label and
    bin of probability. `landslides` (M, 3) has a row for each 8-connected landslide: the index of
    its tile, its number of pixels, and how many of them are predicted at threshold 0.5.

    >>> from landslide_tf.runs.run import load_run
    >>> scores = read_tile_scores(load_run("runs/first").folder / "tile_scores.npz")
    >>> scores.counts(0.5).sum(axis=1).tolist()  # the pixels of each test tile
    [1024, 1024]
    """

    names: np.ndarray
    histogram: np.ndarray
    landslides: np.ndarray

    def counts(self, threshold: float = 0.5) -> np.ndarray:
        """`tp, fp, fn, tn` of each tile, (N, 4) int64, at a threshold that is one of `EDGES`.

        Raises:
            InputError: the threshold is none of them.
        """
        where = np.flatnonzero(np.float32(threshold) == EDGES)
        if not len(where):
            raise InputError(f"counts are kept at 0.01, 0.02 … 0.99. Received: {threshold}")
        above = self.histogram[..., where[0] + 1 :].sum(axis=-1)  # (N, 2)
        below = self.histogram[..., : where[0] + 1].sum(axis=-1)
        return np.stack([above[:, 1], above[:, 0], below[:, 1], below[:, 0]], axis=1)

    def save(self, path) -> None:
        """Write to an `.npz` file, whole or not at all.

        With bzip2, which makes these counts a third smaller than NumPy's own compression.
        """
        with atomic_path(path) as scratch, ZipFile(scratch, "w", ZIP_BZIP2) as archive:
            for f in fields(self):
                with archive.open(f"{f.name}.npy", "w") as file:
                    np.lib.format.write_array(file, getattr(self, f.name), allow_pickle=False)


def tile_scores(names, probability, mask, valid) -> TileScores:
    """Count tiles: `probability`, `mask` and `valid` are (N, H, W).

    >>> p = np.array([[[0.9, 0.2], [0.6, 0.0]]], "float32")
    >>> mask = np.array([[[1, 1], [0, 0]]])
    >>> tile_scores(["a"], p, mask, mask >= 0).counts(0.5).tolist()
    [[1, 1, 1, 1]]
    """
    histogram = np.zeros((len(names), 2, BINS), "int32")
    landslides = []
    for tile, (p, y, keep) in enumerate(zip(probability, mask, valid, strict=True)):
        # bin k holds EDGES[k-1] <= p < EDGES[k]
        bins = np.searchsorted(EDGES, p, side="right")
        landslide = (y > 0) & keep
        for label, where in enumerate((keep & ~landslide, landslide)):
            histogram[tile, label] = np.bincount(bins[where], minlength=BINS)
        pixels, hit = landslide_pixels(landslide, p >= 0.5)
        landslides += [(tile, n, int(h)) for n, h in zip(pixels, hit, strict=True)]
    return TileScores(np.array(names, str), histogram, np.array(landslides, "int32").reshape(-1, 3))


def read_tile_scores(path) -> TileScores:
    """The counts in a file that `TileScores.save` wrote.

    Raises:
        InputError: it cannot be read as such.

    >>> read_tile_scores("runs/first/tile_scores.npz").names.tolist()
    ['b001', 'b003']
    """
    with (
        reading(path, "delete it, and the run goes without intervals"),
        np.load(path, allow_pickle=False) as content,
    ):
        result = TileScores(*(content[f.name] for f in fields(TileScores)))
        whole = (
            result.histogram.shape == (*result.names.shape, 2, BINS)
            and result.landslides.ndim == 2
            and result.landslides.shape[1] == 3
        )
        if not whole:
            raise ValueError("its arrays do not fit each other")
    return result
