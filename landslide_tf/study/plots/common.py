"""What the study's figures share: how they are saved."""

from __future__ import annotations

from pathlib import Path

from landslide_tf.training import figures


def save(figure, folder, name: str, pdf: bool = True) -> Path:
    """Write `NAME.png` and, for print, `NAME.pdf`; returns the PNG's path.

    A figure that is made of pictures is as good as PNG alone, and much smaller.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if pdf:
        figures.save(figure, folder / f"{name}.pdf")
    figures.save(figure, folder / f"{name}.png")
    return folder / f"{name}.png"
