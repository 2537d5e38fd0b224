"""The README keeps its word: its commands exist, its numbers are those of the run folders."""

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
# Each row of the results by its first words: the runs below results/ that it is the mean of.
RUNS = {
    "Bijie RGB, U-Net, 16 filters, `--preset strong`": "strong/no-scale-seed*",
    "Bijie RGB, the paper's protocol": "bijie/unet-none-bce-seed*",
    "the same: ResUNet (WCE)": "bijie/resunet-none-wce-seed*",
    "the same: U-Net++ (Dice) |": "bijie/unetpp-none-dice-seed*",
    "the same: U-Net++ (Dice), spatial": "bijie/unetpp-spatial-dice-seed*",
    "the same: U-Net++ (Dice), contextual": "bijie/unetpp-contextual-dice-seed*",
    "the same: U-Net++ (Dice), both": "bijie/unetpp-spatial_contextual-dice-seed*",
    "Bijie RGB, U-Net (BCE), 64 filters": "full-width/unet-none-bce-seed*",
    "Mars (MMLSv2)": "strong/other/mars-strong.full-seed*",
    "Jinsha, area A to B, `--preset strong`": "strong/other/jinsha-scales-seed*",
}


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


def test_every_row_of_results_has_runs():
    table = README.split("## Results")[1].split("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(RUNS)
    assert all(sum(row.startswith(f"| {start}") for row in rows) == 1 for start in RUNS)


@pytest.mark.parametrize("start", RUNS)
def test_numbers_are_the_means_of_the_runs(start):
    (row,) = (line for line in README.splitlines() if line.startswith(f"| {start}"))
    runs = [
        json.loads(p.read_text()) for p in (ROOT / "results").glob(f"{RUNS[start]}/metrics.json")
    ]
    names = ("miou", "precision", "recall", "f1")
    means = [sum(run["test"][name] for run in runs) / len(runs) for name in names]
    shown = [cell.strip() for cell in row.split("|")][2:7]
    assert shown == [*(f"{mean:.3f}" for mean in means), str(len(runs))]
