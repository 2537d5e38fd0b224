"""Figure 3: the workflow."""

from __future__ import annotations

from landslide_tf.study.experiments import Study
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Record
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, VERMILION, drawing


def workflow(study: Study, record: Record, folder):
    """Figure 3: what the study does, with this study's numbers in it."""
    from matplotlib.patches import FancyBboxPatch

    config, count, spec = study.base, record.metrics["tiles"], study.base.input
    with_dem = spec.uses_dem
    channels = f"RGB and elevation\n({spec.fusion} fusion)" if with_dem else "RGB"
    steps = [
        (
            "tiles",
            f"image{', elevation' if with_dem else ''}, truth\npaired by name, checked",
            BLUE,
        ),
        ("input", f"{spec.tile_px} x {spec.tile_px} pixels\n{channels}, normalised", BLUE),
        (
            "split",
            f"{count['train']} training\n{count['validation']} validation\n{count['test']} test",
            ORANGE,
        ),
        (
            "training",
            f"3 models x 4 losses,\n3 attentions in U-Net++\nAdam {config.learning_rate:g}, "
            f"batch {config.batch_size}, {config.epochs} epochs",
            GREEN,
        ),
        ("choice", "epoch, loss and threshold\nof the best validation mIoU", ORANGE),
        ("report", "scores of the test tiles:\ntables, intervals, figures", VERMILION),
    ]
    figure, axis = drawing().subplots(figsize=(9, 3.6), layout="constrained")
    axis.set(xlim=(0, 3), ylim=(0, 2))
    axis.axis("off")
    for number, (title, text, colour) in enumerate(steps):
        row, column = divmod(number, 3)
        left, bottom = column + 0.1, 1.15 - row
        axis.add_patch(
            FancyBboxPatch(
                (left, bottom), 0.8, 0.7, boxstyle="round,pad=0,rounding_size=0.05",
                fc="white", ec=colour, lw=1.8, mutation_aspect=1.5,
            )
        )  # fmt: skip
        middle = {"ha": "center", "va": "center"}
        axis.text(left + 0.4, bottom + 0.58, title, fontsize=12, weight="bold", **middle)
        axis.text(left + 0.4, bottom + 0.29, text, fontsize=9, linespacing=1.4, **middle)
    arrow = {"arrowstyle": "-|>", "color": "0.35", "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    for y in (1.5, 0.5):
        for x in (0.92, 1.92):
            axis.annotate("", (x + 0.16, y), (x, y), arrowprops=arrow)
    axis.plot([2.5, 2.5, 0.5], [1.12, 1.0, 1.0], color="0.35", lw=1.4)
    axis.annotate("", (0.5, 0.88), (0.5, 1.0), arrowprops=arrow)
    return save(figure, folder, "figure3-workflow")
