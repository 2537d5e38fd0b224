"""Figure 2: the architecture, drawn from the layers of a built model."""

from __future__ import annotations

import re

import numpy as np

from landslide_tf.study.plots.common import save
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, drawing

# A block is the part of a layer's name that says where it stands: encoder2, node1_3, decoder0.
BLOCK = re.compile(
    r"(?P<kind>encoder(?:_rgb|_dem)?|decoder|fusion|node)(?P<level>\d)(?:_(?P<step>\d))?"
)


def _block_of(layer_name: str) -> str | None:
    """The block that a layer belongs to: 'node1_3' of 'node1_3_conv2'; None of 'logits'."""
    match = BLOCK.match(layer_name)
    return match.group(0) if match else None


def blocks_and_edges(model) -> tuple[dict[str, tuple], set[tuple[str, str]]]:
    """Output shape (H, W, C) of each block, and which block feeds which, from the layer graph."""
    blocks, edges = {}, set()
    for layer in model.layers:
        block = _block_of(layer.name)
        if block is None:
            continue
        blocks[block] = tuple(layer.output.shape[1:])  # the last layer of the block stays
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                source = _block_of(tensor._keras_history.operation.name)
                if source and source != block:
                    edges.add((source, block))
    return blocks, edges


def input_words(model) -> str:
    """What goes into a model and how it is fused, from its input and its encoders."""
    height, width, channels = model.input_shape[1:]
    if any(layer.name.startswith("encoder_dem") for layer in model.layers):
        words = f"RGB (3) and DEM ({channels - 3})\nan encoder each"
    elif channels == 3:
        words = "RGB alone"
    else:
        further = "" if channels == 4 else f" + {channels - 4} terrain"
        words = f"RGB + DEM{further} stacked\n(early fusion)"
    return f"input {height} x {width} x {channels}\n{words}"


def _place(block: str, levels: int) -> tuple[float, float]:
    """Where a block stands: columns by step, rows by level, full resolution on top."""
    kind, level, step = BLOCK.match(block).groups()
    level = int(level)
    if kind == "node":
        return float(step), -float(level)
    if kind == "decoder":
        return 2.0 * (levels - 1) - level, -float(level)
    column = {"encoder": 0, "encoder_rgb": -2.2, "encoder_dem": -1.1, "fusion": 0}[kind]
    return column + level, -float(level)  # the encoder comes down from the left: a U


def architecture(model, title: str, folder, name: str):
    """Boxes: blocks with height, width and channels of their output; lines: what feeds what.

    Returns the path of `FOLDER/NAME.png`.
    """
    blocks, edges = blocks_and_edges(model)
    levels = 1 + max(int(block[-1]) for block in blocks if block.startswith("encoder"))
    nested = any(block.startswith("node") for block in blocks)
    attended = {_block_of(layer.name) for layer in model.layers if "attention" in layer.name}
    places = {block: _place(block, levels) for block in blocks}
    if nested:  # the backbone is column 0 of the nodes
        for block, (x, y) in places.items():
            if not block.startswith("node"):
                places[block] = (x + y, y)
    columns = [x for x, _ in places.values()]
    width = (1.3 if nested else 0.95) * (max(columns) - min(columns)) + 3
    figure, axis = drawing().subplots(figsize=(width, 1.05 * levels + 1.7), layout="constrained")
    for source, target in sorted(edges):
        (x0, y0), (x1, y1) = places[source], places[target]
        skip = y0 == y1
        bend = "arc3,rad=-0.25" if skip and abs(x1 - x0) > 1.5 and nested else "arc3"
        axis.annotate(
            "",
            (x1, y1),
            (x0, y0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "0.55" if skip else "0.2",
                "lw": 1.0,
                "ls": "--" if skip else "-",
                "shrinkA": 33 if skip else 21,  # points: a box is wider than high
                "shrinkB": 35 if skip else 23,
                "connectionstyle": bend,
            },
            zorder=1,
        )
    colours = {"encoder": BLUE, "node": GREEN, "decoder": GREEN, "fusion": ORANGE}
    for block, (x, y) in places.items():
        height, breadth, channels = blocks[block]
        colour = colours[re.match("[a-z]+", block)[0]]
        box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": colour, "lw": 1.6}
        extra = "\nwith attention" if block in attended else ""
        axis.text(
            x, y, f"{_label(block)}\n{height} x {breadth} x {channels}{extra}",
            ha="center", va="center", fontsize=7.5, bbox=box, zorder=2,
        )  # fmt: skip
    start = [places[b] for b in places if re.fullmatch(r"encoder(_rgb|_dem)?0", b)]
    for x, y in start:
        axis.annotate(
            "", (x, y), (x, y + 0.85),
            arrowprops={"arrowstyle": "-|>", "color": "0.2", "shrinkA": 0, "shrinkB": 21}, zorder=1,
        )  # fmt: skip
    axis.text(
        np.mean([x for x, _ in start]), start[0][1] + 0.88, input_words(model),
        ha="center", va="bottom", fontsize=7.5,
    )  # fmt: skip
    last = max(places, key=lambda b: (places[b][1], places[b][0]))
    x, y = places[last]
    axis.annotate(
        f"logits\n{blocks[last][0]} x {blocks[last][1]} x 1", (x, y), (x + 1.25, y),
        ha="center", va="center", fontsize=7.5,
        arrowprops={"arrowstyle": "<|-", "color": "0.2", "shrinkB": 33}, zorder=1,
    )  # fmt: skip
    axis.set(
        xlim=(min(columns) - 0.7, max(columns) + 1.9),
        ylim=(-levels + 0.5, 1.35),
    )
    axis.axis("off")
    axis.set_title(title, fontsize=10)
    line = drawing().Line2D
    way = "2 x 2 max pooling down, transposed convolution up"
    legend = [
        line([], [], color="0.2", label=way),
        line([], [], color="0.55", ls="--", label="skip connection (concatenated)"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False, fontsize=7.5)
    return save(figure, folder, name)


def _label(block: str) -> str:
    kind, level, step = BLOCK.match(block).groups()
    return f"{kind.replace('_', ' ')} {level}" + (f",{step}" if step else "")
