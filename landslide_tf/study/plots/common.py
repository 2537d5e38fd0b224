"""What the figures share: saving, and the colours of the models."""

from __future__ import annotations

from pathlib import Path

from landslide_tf.files import atomic_path
from landslide_tf.study.matrices import SIX
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, SKY, VERMILION

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
