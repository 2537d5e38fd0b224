"""What the page shows of a run folder: options, scores, curves, predictions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from landslide_tf.training.figures import loss_curve
from landslide_tf.training.packaged import packaged_models, read_card
from landslide_tf.training.recorder import read_history
from landslide_tf.training.run_folder import read_config, read_split_and_metrics

SCORES = (("miou", "mIoU"), ("iou", "IoU"), ("precision", "Precision"), ("recall", "Recall"),
          ("f1", "F1"), ("accuracy", "Accuracy"), ("auc", "AUC"))  # fmt: skip
# Of the card of a model that comes with the package.
TOLD = (("About", "title"), ("Good for", "use"), ("Not for", "not_for"), ("Data", "data"),
        ("Terms of the data", "terms"))  # fmt: skip
PARTS = (("validation", "Validation, threshold 0.5"), ("test", "Test, threshold 0.5"),
         ("test_chosen", "Test, chosen threshold"))  # fmt: skip


def card(folder) -> list[tuple[str, str]]:
    """The model card of a run: (title, text).

    >>> dict(card("runs/first"))["Model"]
    'unet, attention none, 2 filters'
    """
    folder = Path(folder)
    config = read_config(folder)
    split, metrics = read_split_and_metrics(folder)
    spec, resolution = config.input, metrics.get("resolution_m")
    told = read_card(folder.name) if folder in packaged_models().values() else {}
    facts = {title: told[key] for title, key in TOLD if key in told}
    bands = ", ".join(spec.channel_names).replace("dem", "elevation")
    facts |= {
        "Model": f"{config.model}, attention {config.attention}, {config.filters} filters",
        "Reads": f"{bands}; {spec.tile_px} x {spec.tile_px} pixels at once",
        "Trained on": Path(config.data).name if config.data else "the built-in demo terrain",
        "Pixel size in training": f"{resolution:.3g} m" if resolution else "not known",
        "Tiles": ", ".join(
            f"{len(split[part])} {part}"
            for part in ("train", "validation", "test")
            if part in split
        ),
        "Loss": f"{config.resolved_loss}, {config.epochs} epochs at most, seed {config.seed}",
        "Chosen threshold": f"{metrics['thresholds']['chosen']:.2f}, on the validation part",
        "Limits": "The scores are of tiles like those of the training. On other ground, sensors "
        "or seasons expect less.",
    }
    return list(facts.items())


def needs(folder) -> list[tuple[str, str]]:
    """What an image for the model of a run must be like: (title, text).

    >>> needs("runs/first")[0]
    ('Reads', 'red, green, blue, elevation; 32 x 32 pixels at once')
    """
    return [row for row in card(folder) if row[0] in ("Reads", "Pixel size in training")]


def scores(folder) -> list[list[str]]:
    """A table of the scores in `metrics.json`: part, then the scores of `SCORES`."""
    _, metrics = read_split_and_metrics(folder)
    rows = []
    for name, title in PARTS:
        if found := metrics.get(name):
            values = (found.get(key) for key, _ in SCORES)
            rows.append([title, *("–" if v is None else f"{v:.3f}" for v in values)])
    return rows


def pictures(folder) -> tuple:
    """Curves and predictions of a run, uint8 (h, w, 3), each None where the run has none."""
    folder = Path(folder)
    curve, grid = _read(folder / "loss.png"), _read(folder / "predictions.png")
    if curve is None and (folder / "history.csv").is_file():
        rows = read_history(folder / "history.csv")
        best = max(rows, key=lambda row: row["val_miou"])["epoch"]
        with tempfile.TemporaryDirectory() as scratch:
            loss_curve(rows, best, Path(scratch) / "loss.png")
            curve = _read(Path(scratch, "loss.png"))
    return curve, grid


def _read(path):
    image = cv2.imdecode(np.fromfile(path, "uint8"), cv2.IMREAD_COLOR) if path.is_file() else None
    return None if image is None else image[..., ::-1]
