"""The README keeps its word: its commands exist, its numbers are those of the run folders."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from landslide_tf import __version__
from landslide_tf.cli import all_commands
from landslide_tf.cli.cmd_model import train_parser
from landslide_tf.geo.attributes import FIELDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [(ROOT / "docs" / name).read_text() for name in ("read_a_map.md", "train_on_your_data.md")]
COMMANDS = re.findall(
    r"(?:python train\.py(?! --help)|"
    r"landslide (?=(?:train|evaluate|predict|data|study|explain|export|map|benchmark) )).*",
    "\n".join([README, *PAGES]),
)
# The rows of the results by their first cell, and the runs below results/ that each is the mean of.
RUNS = {
    "U-Net (BCE)": "bijie/unet-none-bce",
    "ResUNet (WCE)": "bijie/resunet-none-wce",
    "U-Net++ (Dice)": "bijie/unetpp-none-dice",
    "U-Net++ (Dice), spatial attention": "bijie/unetpp-spatial-dice",
    "U-Net++ (Dice), contextual attention": "bijie/unetpp-contextual-dice",
    "U-Net++ (Dice), both attentions": "bijie/unetpp-spatial_contextual-dice",
}
# What is said below the table, with the scores of these runs.
SAID = {
    "`--preset strong` reaches mIoU {miou:.3f} and F1 {f1:.3f}": "strong/no-scale",
    "its 64 filters, U-Net (BCE) reaches {miou:.3f}": "full-width/unet-none-bce",
    "the augmentation `scale` reaches {miou:.3f}": "strong/other/mars-strong.full",
    "trained in area A and tested in area B, {miou:.3f}": "strong/other/jinsha-scales",
}


def mean_scores(runs: str) -> dict:
    """Means of the test scores over the seeds, and how many these are."""
    paths = (ROOT / "results").glob(f"{runs}-seed*/metrics.json")
    tests = [json.loads(path.read_text())["test"] for path in paths]
    names = ("miou", "precision", "recall", "f1")
    means = {name: sum(test[name] for test in tests) / len(tests) for name in names}
    return means | {"seeds": len(tests)}


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    line = line.split("`")[0].split("#")[0].replace("bce|focal|dice|wce", "bce")
    words = shlex.split(line)
    if words[0] == "python":
        assert train_parser().parse_args(words[2:])
    else:
        assert hasattr(all_commands().parse_args(words[1:]), "run")


def test_every_column_of_a_map_is_explained():
    rows = [line.split("|")[1:4] for line in PAGES[0].splitlines() if line.startswith("| `")]
    told = [(name.strip(" `"), dem.strip()) for name, _, dem in rows if "." not in name]
    assert told == [(field.name, "DEM" if field.with_dem else "") for field in FIELDS]


def test_the_citation_names_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_there_are_commands():
    assert len(COMMANDS) > 12


def results_table() -> dict[str, list[str]]:
    """The cells of the results by the first one of their row."""
    table = README.split("## Results")[1].split("## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[1:]}


def test_every_row_of_results_has_runs():
    assert list(results_table()) == list(RUNS)


@pytest.mark.parametrize("row", RUNS)
def test_numbers_are_the_means_of_the_runs_and_the_papers(row):
    *cells, seeds = results_table()[row]
    means = mean_scores(RUNS[row])
    name = RUNS[row].removeprefix("bijie/").rpartition("-")[0]
    lines = csv.DictReader((ROOT / "landslide_tf/study/paper.csv").open())
    paper = {r["column"]: r["value"] for r in lines if (r["table"], r["row"]) == ("3", name)}
    scores = ("miou", "precision", "recall", "f1")
    assert cells == [f"{means[score]:.3f} ({paper[score]})" for score in scores]
    assert seeds == str(means["seeds"])


@pytest.mark.parametrize("sentence", SAID)
def test_what_is_said_are_the_means_of_the_runs(sentence):
    assert sentence.format(**mean_scores(SAID[sentence])) in README


def test_the_range_of_the_six_models_on_jinsha():
    six = [mean_scores(runs.replace("bijie", "jinsha"))["miou"] for runs in RUNS.values()]
    assert f"six models score {min(six):.2f} to {max(six):.2f} on Jinsha" in README
