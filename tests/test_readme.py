"""The README keeps its word: its commands exist, its numbers are those of the run folders."""

import json
import re
import shlex
from pathlib import Path

import pytest

from landslide_tf import __version__
from landslide_tf.cli import all_commands
from landslide_tf.cli.cmd_model import train_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(
    r"(?:python train\.py(?! --help)|"
    r"landslide (?=(?:train|evaluate|predict|data|study|explain|export|map|benchmark) )).*",
    README,
)
ROWS = re.findall(r"^\|.*\]\((results/[^)]*)\) *\|(.*)\|$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    line = line.split("`")[0].split("#")[0].replace("bce|focal|dice|wce", "bce")
    words = shlex.split(line)
    if words[0] == "python":
        assert train_parser().parse_args(words[2:])
    else:
        assert hasattr(all_commands().parse_args(words[1:]), "run")


def test_the_citation_names_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_there_are_commands_and_results():
    assert len(COMMANDS) > 12
    assert len(ROWS) == 1  # of the demo


def test_the_table_of_dropout_is_that_of_the_records():
    """Means over the seeds of results/batch-norm, computed here from the run folders alone."""
    runs = {}
    for path in sorted((ROOT / "results/batch-norm").glob("*/metrics.json")):
        config = json.loads((path.parent / "config.json").read_text())
        key = config["model"], config["dropout_levels"]
        runs.setdefault(key, []).append(json.loads(path.read_text()))
    assert runs
    titles = {"unet": "U-Net (BCE)", "resunet": "ResUNet (WCE)", "unetpp": "U-Net++ (Dice)"}
    for (model, levels), metrics in runs.items():

        def mean(pick, metrics=metrics):
            return f"{sum(pick(m) for m in metrics) / len(metrics):.3f}"

        cells = [
            titles[model],
            str(levels),
            mean(lambda m: m["test"]["miou"]),
            mean(lambda m: m["test"]["precision"]),
            mean(lambda m: m["test"]["recall"]),
            mean(lambda m: m["batch_norm"]["reestimated"]["test"]["miou"]),
            mean(lambda m: m["batch_norm"]["inference_gap"]),
            str(len(metrics)),
        ]
        assert f"| {' | '.join(cells)} |" in README.splitlines()


@pytest.mark.parametrize(("folder", "cells"), ROWS)
def test_numbers_are_those_of_the_run(folder, cells):
    metrics = json.loads((ROOT / folder / "metrics.json").read_text())
    names = ("miou", "iou", "precision", "recall", "f1", "accuracy", "auc")
    shown = [cell.strip() for cell in cells.split("|")]
    expected = [f"{metrics['test'][name]:.3f}" for name in names]
    expected.append(f"{metrics['test_chosen']['miou']:.3f}")
    expected.append(f"{metrics['baseline']['threshold']['miou']:.3f}")
    assert shown == expected
    assert (ROOT / folder / "environment.json").exists()
    assert (ROOT / folder / "split.json").exists()
