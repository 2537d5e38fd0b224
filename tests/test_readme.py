"""The README keeps its word: its commands exist, its numbers are those of the run folders."""

import json
import re
import shlex
from pathlib import Path

import pytest

from landslide_tf import __version__
from landslide_tf.cli import all_commands
from landslide_tf.cli.cmd_model import train_parser
from landslide_tf.config import TrainConfig
from landslide_tf.study.experiments import read_study
from landslide_tf.study.matrices import paper
from landslide_tf.study.records import read_results
from landslide_tf.study.tables import paper_values

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
    assert len(ROWS) == 2  # of the demo


def results_row(experiment, studies) -> str:
    """The paper's Table 3 / Table 1, then per study the mean over seeds ± standard deviation."""
    paper, model, attention = paper_values(), experiment.model, experiment.attention
    printed = []
    if experiment.group == "six":
        printed.append(f"{paper['3', f'{model}-{attention}', 'miou']:.2f}")
    if attention == "none":
        printed.append(f"{paper['1', model, experiment.loss]:.3f}")
    cells = [experiment.title, " / ".join(printed) or "–"]
    for results in studies:
        result = results.get(experiment.name)
        for part in ("test", "test_chosen"):
            several = result and len(result.records) > 1
            spread = f" ± {result.deviation('miou', part):.3f}" if several else ""
            cells.append(f"{result.mean('miou', part):.3f}{spread}" if result else "–")
    return f"| {' | '.join(cells)} |"


def test_the_table_of_results_is_that_of_the_studies():
    folders = [ROOT / "results" / name for name in ("bijie-rgb", "jinsha")]
    studies = [read_results(read_study(folder), folder) for folder in folders]
    lines = README.splitlines()
    for experiment in paper(TrainConfig()):
        assert results_row(experiment, studies) in lines
    records = [results["unet-none-bce"].records[0] for results in studies]
    titles = {
        "background": "nothing is a landslide",
        "threshold": "best single cut through one channel",
    }
    for name, title in titles.items():
        bijie, jinsha = (f"{r.metrics['baseline'][name]['miou']:.3f}" for r in records)
        assert f"| {title} | – | {bijie} | – | {jinsha} | – |" in lines


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
