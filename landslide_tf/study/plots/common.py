"""What the figures share: saving, colours of the models, tiles to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landslide_tf.files import atomic_path
from landslide_tf.study.experiments import SIX
from landslide_tf.study.records import Record
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, SKY, VERMILION, pyplot

DPI = 200
SHOWN_TILES = 4  # the same tiles in Figures 1, 5 and 6
# One colour and one line style a model, so that print without colour can be read too.
PURPLE = "#CC79A7"
COLOURS = dict(
    zip((e.name for e in SIX), (BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE), strict=True)
)
STYLES = dict(zip(COLOURS, ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))), strict=True))


def save(figure, folder, name: str) -> Path:
    """Write `NAME.png` and `NAME.pdf`; returns the PNG's path.

    >>> figure, axes = pyplot().subplots(figsize=(2, 1))
    >>> save(figure, "figures", "empty").name
    'empty.png'
    >>> sorted(path.name for path in Path("figures").iterdir())
    ['empty.pdf', 'empty.png']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".pdf", ".png"):
        path = folder / f"{name}{suffix}"
        with atomic_path(path) as scratch:
            # no creation date: the same runs give the same file
            metadata = {"CreationDate": None} if suffix == ".pdf" else None
            figure.savefig(scratch, dpi=DPI, bbox_inches="tight", metadata=metadata)
    pyplot().close(figure)
    return path


def spread_tiles(records: list[Record], count: int = SHOWN_TILES) -> list[str]:
    """Names of test tiles with landslide, from the worst to the best by IoU, evenly spaced.

    IoU is the mean over the records, so that no model's best tiles are picked. Where no run kept
    the counts of its tiles, evenly spaced by name.

    >>> from landslide_tf.study.records import read_record
    >>> record = read_record("study/unet-none-bce")
    >>> names = spread_tiles([record], count=3)
    >>> len(names), set(names) <= set(record.split["test"])
    (3, True)
    """
    tiles = [record.tiles for record in records if record.tiles is not None]
    if not tiles:
        names = records[0].split["test"] or records[0].split["validation"]
        return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, count).astype(int))]
    iou = []
    for one in tiles:
        tp, fp, fn, _ = one.counts(0.5).T
        iou.append(np.where(tp + fn > 0, tp / np.maximum(tp + fp + fn, 1), np.nan))
    mean = np.mean(iou, axis=0)
    ranked = np.argsort(mean)[: int(np.isfinite(mean).sum())]
    # the ends are outliers: the middle of each of `count` equal shares
    middles = ((np.arange(count) + 0.5) / count * len(ranked)).astype(int)
    return [str(tiles[0].names[i]) for i in ranked[np.unique(middles)]] if len(ranked) else []
