"""Tables in results/ are what their run folders give: nothing in them is edited by hand."""

from pathlib import Path

import pandas as pd
import pytest

from landslide_tf.study import tables
from landslide_tf.study.experiments import read_study
from landslide_tf.study.records import read_results

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "results").glob("*/study.json"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "comparisons", "dem"])
def test_tables_follow_from_the_runs(path, name):
    study = read_study(path.parent)
    results = read_results(study, path.parent)
    frame = {
        "table1": tables.table1,
        "table2": tables.table2,
        "table3": tables.table3,
        "table4": tables.table4,
        "comparisons": tables.comparisons,
        "dem": lambda r: tables.dem_table(r, study),
    }[name](results)
    written = pd.read_csv(path.parent / "tables" / f"{name}.csv")
    assert written.columns.tolist() == frame.columns.tolist()
    for column in frame:
        if frame[column].dtype.kind == "f":
            assert written[column].tolist() == pytest.approx(
                frame[column].tolist(), rel=1e-5, abs=1e-9, nan_ok=True
            )
        else:
            assert written[column].fillna("").astype(str).tolist() == (
                frame[column].fillna("").astype(str).tolist()
            )


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_pictures_of_the_report_are_there(path):
    text = (path.parent / "REPORT.md").read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (path.parent / line.split("](")[1].rstrip(")")).exists(), line
