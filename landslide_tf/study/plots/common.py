"""What the study's figures share: how they are saved."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from landslide_tf.files import atomic_path
from landslide_tf.training import figures


def save(figure, folder, name: str, pdf: bool = True) -> Path:
    """Write `NAME.png` and, for print, `NAME.pdf`; returns the PNG's path.

    A figure that is made of pictures is as good as PNG alone, and much smaller. The PNG of lines
    and letters has 256 colours, which show them as well at a third of the size.
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
