"""What the figures share: saving, colours of the models, tiles to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landslide_tf.files import atomic_path
from landslide_tf.study.matrices import SIX
from landslide_tf.study.records import Record
from landslide_tf.training.figures import (
    BLUE,
    GREEN,
    ORANGE,
    SKY,
    VERMILION,
    sample_rows,
)

DPI = 150
# One colour and one line style a model, so that print without colour can be read too.
PURPLE = "#CC79A7"
COLOURS = dict(
    zip((e.name for e in SIX), (BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE), strict=True)
)
STYLES = dict(zip(COLOURS, ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))), strict=True))


def save(figure, folder, name: str, pdf: bool = True) -> Path:
    """Write `NAME.png` and, for print, `NAME.pdf`; returns the PNG's path.

    A figure that is made of pictures is as good as PNG alone, and much smaller.

    >>> from landslide_tf.training.figures import drawing
    >>> figure, axes = drawing().subplots(figsize=(2, 1))
    >>> save(figure, "figures", "empty").name
    'empty.png'
    >>> sorted(path.name for path in Path("figures").iterdir())
    ['empty.pdf', 'empty.png']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".pdf", ".png") if pdf else (".png",):
        path = folder / f"{name}{suffix}"
        with atomic_path(path) as scratch:
            # no creation date: the same runs give the same file
            metadata = {"CreationDate": None} if suffix == ".pdf" else None
            figure.savefig(scratch, dpi=DPI, bbox_inches="tight", metadata=metadata)
    return path


def shown_tiles(records: list[Record]) -> dict[str, str]:
    """Names of the test tiles of Figures 1, 5 and 6, by what they show (`figures.sample_rows`).

    IoU is the mean over the records, so that no model's best tiles are picked. Where no run kept
    the counts of its tiles: four tiles evenly spaced by name.

    >>> from landslide_tf.study.records import read_record
    >>> record = read_record("study/unet-none-bce-seed0")
    >>> shown = shown_tiles([record])
    >>> list(shown), set(shown.values()) <= set(record.split["test"])
    (['median IoU', 'a small one', 'a large one', 'a failure'], True)
    """
    tiles = [record.tiles for record in records if record.tiles is not None]
    if not tiles:
        names = records[0].split["test"] or records[0].split["validation"]
        spaced = np.unique(np.linspace(0, len(names) - 1, 4).astype(int))
        return {f"tile {n}": names[i] for n, i in enumerate(spaced, 1)}
    tp, fp, fn, _ = np.array([one.counts(0.5).T for one in tiles]).transpose(1, 0, 2)
    iou = (tp / np.maximum(tp + fp + fn, 1)).mean(axis=0)
    chosen = sample_rows(iou, (tp + fn)[0])
    return {label: str(tiles[0].names[i]) for label, i in chosen.items()}
