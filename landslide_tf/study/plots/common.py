"""What the study's figures share: how they are saved."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from landslide_tf.files import atomic_path
from landslide_tf.training import figures


def save(figure, folder, name: str, pdf: bool = True) -> Path:
    """Write `NAME.png` and, for print, `NAME.pdf`; returns the PNG's path.

    Figures that consist of pictures need no PDF (`pdf=False`): it would be larger and no better.
    The PNG of other figures is reduced to 256 colours, which is enough for lines and text, and a
    third of the size.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figures.save(figure, path)
    if pdf:
        figures.save(figure, folder / f"{name}.pdf")
        with Image.open(path) as drawn, atomic_path(path) as scratch:
            few = drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.save(scratch, "PNG", optimize=True)
    return path
