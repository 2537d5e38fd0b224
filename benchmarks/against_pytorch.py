"""U-Net and U-Net++ in Keras against the same networks in plain PyTorch, on this machine.

    pip install -r requirements.txt -r benchmarks/requirements.txt
    python benchmarks/against_pytorch.py --filters 16 --out results/benchmark/against_pytorch.json

Parameters and arithmetic must agree before anything is timed. Each step and each prediction is run
in turn (Keras, PyTorch, Keras, PyTorch …) in one process; medians; each precision like for like:
float32, and bfloat16 (mixed_bfloat16 in Keras, autocast in PyTorch). PyTorch runs channels last.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from landslide_tf.config import TrainConfig
from landslide_tf.files import write_json
from landslide_tf.losses import LOSS_CLASSES
from landslide_tf.models.cost import forward_gmac
from landslide_tf.models.probability import Predictor
from landslide_tf.training.environment import environment
from landslide_tf.training.recipe import build

DEPTH = 4
WARM_UP = 3


class Block(nn.Sequential):
    """Twice: 3 x 3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels, filters):
        layers = []
        for _ in range(2):
            # PyTorch's momentum is the weight of the new value: 0.1 is 0.9 in Keras
            layers += [
                nn.Conv2d(channels, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters, eps=1e-3, momentum=0.1),
                nn.ReLU(inplace=True),
            ]
            channels = filters
        super().__init__(*layers)


class Net(nn.Module):
    """U-Net, or with `nested` U-Net++: a node reads all nodes before it at its level."""

    def __init__(self, filters, nested, channels=4):
        super().__init__()
        self.nested = nested
        widths = [filters * 2**level for level in range(DEPTH + 1)]
        self.encoder = nn.ModuleList(
            Block(channels if level == 0 else widths[level - 1], widths[level])
            for level in range(DEPTH + 1)
        )
        self.up, self.blocks = nn.ModuleDict(), nn.ModuleDict()
        for level, step in self.nodes():
            key, width = f"{level}_{step}", widths[level]
            self.up[key] = nn.ConvTranspose2d(widths[level + 1], width, 2, stride=2)
            skips = step if nested else 1
            self.blocks[key] = Block(width * (skips + 1), width)
        self.head = nn.Conv2d(filters, 1, 1)

    def nodes(self):
        if not self.nested:
            return [(level, DEPTH - level) for level in reversed(range(DEPTH))]
        return [(lv, step) for step in range(1, DEPTH + 1) for lv in range(DEPTH + 1 - step)]

    def forward(self, x):
        node = {}
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            if level >= DEPTH - 1:
                x = functional.dropout(x, 0.5, self.training)
            node[level, 0] = x
        for level, step in self.nodes():
            key = f"{level}_{step}"
            skips = [node[level, k] for k in range(step if self.nested else 1)]
            x = torch.cat([*skips, self.up[key](node[level + 1, step - 1])], 1)
            node[level, step] = self.blocks[key](x)
        return self.head(node[0, DEPTH].float())


def compare(model: str, filters: int, batch: int, bfloat16: bool, repeats: int) -> dict:
    """Times of a training step and of a single prediction in both."""
    config = TrainConfig(
        model=model, filters=filters, batch_size=batch, mixed_precision="on" if bfloat16 else "off"
    )
    ours = build(config, "mixed_bfloat16" if bfloat16 else "float32")
    ours.compile(keras.optimizers.Adam(1e-5), LOSS_CLASSES["bce"]())
    theirs = Net(filters, nested=model == "unetpp").to(memory_format=torch.channels_last)
    facts = {
        "parameters": sum(int(np.prod(w.shape)) for w in ours.trainable_weights),
        "gflop": 2 * forward_gmac(ours),
    }
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        theirs.eval()(torch.zeros(1, 4, 128, 128))
    parameters = sum(p.numel() for p in theirs.parameters())
    gflop = counter.get_total_flops() / 1e9
    if parameters != facts["parameters"] or abs(gflop - facts["gflop"]) > 1e-6 * gflop:
        raise SystemExit(
            f"{model}: not the same network: {parameters} parameters and {gflop:.4f} GFLOP in "
            f"PyTorch, {facts['parameters']} and {facts['gflop']:.4f} in Keras"
        )
    rng = np.random.default_rng(0)
    x = rng.random((batch, 128, 128, 4)).astype("float32")
    y = (rng.random((batch, 128, 128, 1)) < 0.1).astype("float32")
    x_t = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y_t = torch.from_numpy(y).permute(0, 3, 1, 2)
    optimizer = torch.optim.Adam(theirs.parameters(), 1e-5)

    def their_step():
        theirs.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = theirs(x_t)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), y_t)
        loss.backward()
        optimizer.step()
        return loss.item()

    our_prediction = Predictor(ours)  # compiled once

    def their_prediction():
        theirs.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return torch.sigmoid(theirs(x_t[:1]).float()).numpy()

    # Two kinds of work, each in turn: one step of ours, one of theirs; then predictions.
    times = {}
    for what, a, b in (
        ("step", lambda: float(ours.train_on_batch(x, y)), their_step),
        ("prediction", lambda: our_prediction(x[:1]), their_prediction),
    ):
        rows = []
        for _ in range(WARM_UP + repeats):
            row = []
            for work in (a, b):
                begin = time.perf_counter()
                work()
                row.append(1000 * (time.perf_counter() - begin))
            rows.append(row)
        keras_ms, torch_ms = np.median(rows[WARM_UP:], axis=0)
        times[what] = {"keras_ms": float(keras_ms), "pytorch_ms": float(torch_ms)}
    return {
        "model": model,
        "filters": filters,
        "batch": batch,
        "precision": "bfloat16" if bfloat16 else "float32",
        **facts,
        **times,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", help="JSON file to write")
    arguments = parser.parse_args()
    rows = []
    heading = f"{'':<22}{'step ms':^30}{'one prediction ms':^30}"
    print(heading)
    print(f"{'':<22}" + 2 * f"{'Keras':>10}{'PyTorch':>10}{'ratio':>10}")
    for bfloat16 in (False, True):
        for model in ("unet", "unetpp"):
            row = compare(
                model, arguments.filters, arguments.batch_size, bfloat16, arguments.repeats
            )
            rows.append(row)
            pairs = [(row[k]["keras_ms"], row[k]["pytorch_ms"]) for k in ("step", "prediction")]
            cells = "".join(f"{a:10.1f}{b:10.1f}{a / b:10.2f}" for a, b in pairs)
            print(f"{model + ', ' + row['precision']:<22}{cells}", flush=True)
    if arguments.out:
        facts = {**environment(), "torch": torch.__version__}
        write_json(arguments.out, {"machine": facts, "rows": rows})


if __name__ == "__main__":
    main()
