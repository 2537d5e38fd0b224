"""Tables in results/ are what their run folders give: nothing in them is edited by hand."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from landslide_tf.study.experiments import read_study
from landslide_tf.study.records import read_results
from landslide_tf.study.report import study_tables

ROOT = Path(__file__).parents[2]
# Those whose tables were written since a study has a matrix: before, tables had other columns.
STUDIES = [
    path
    for path in sorted((ROOT / "results").glob("*/study.json"))
    if "matrix" in json.loads(path.read_text())
]


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_tables_follow_from_the_runs(path):
    study = read_study(path.parent)
    for name, frame in study_tables(study, read_results(study, path.parent)).items():
        if name == "comparisons":
            frame = frame[frame.seeds > 0]
        written = pd.read_csv(path.parent / "tables" / f"{name}.csv")
        assert written.columns.tolist() == frame.columns.tolist(), name
        for column in frame:
            if frame[column].dtype.kind == "f":
                assert written[column].tolist() == pytest.approx(
                    frame[column].tolist(), rel=1e-5, abs=1e-9, nan_ok=True
                ), (name, column)
            else:
                assert written[column].fillna("").astype(str).tolist() == (
                    frame[column].fillna("").astype(str).tolist()
                ), (name, column)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_pictures_of_the_report_are_there(path):
    text = (path.parent / "REPORT.md").read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (path.parent / line.split("](")[1].rstrip(")")).exists(), line


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_records_name_no_folder_of_a_machine(path):
    for file in path.parent.rglob("*.json"):
        text = " ".join(_strings(json.loads(file.read_text())))
        assert not re.search(r"/\w", text), file


def _strings(content):
    if isinstance(content, dict):
        content = [*content, *content.values()]
    if isinstance(content, list):
        return [text for item in content for text in _strings(item)]
    return [content] if isinstance(content, str) else []
