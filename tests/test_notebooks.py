"""The notebooks: stored without outputs, and run from top to bottom in a small form."""

import json
from pathlib import Path

import pytest

from landslide_tf.cli import all_commands, run

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
SMALL = {
    "quickstart": "EPOCHS, FILTERS = 1, 2",
    "reproduce_paper": (
        'DATA, DOWNLOAD, ONLY, SEEDS = "", False, "unet-none-bce", 1\nFILTERS, EPOCHS = 2, 1'
    ),
    "map_a_scene": 'MODEL = IMAGE = DEM = ""\nEPOCHS, FILTERS = 1, 2',
    "your_own_data": (
        'IMAGE = DEM = POLYGONS = ""\nTILE_PX, RECALL, EPOCHS, FILTERS = 96, 0.9, 1, 2'
    ),
}


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path):
    for cell in read(path)["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_has_its_badge_and_the_same_set_up(path):
    cells = read(path)["cells"]
    assert f"/colab/{path.name})" in "".join(cells[0]["source"])
    assert cells[1]["source"] == read(NOTEBOOKS[0])["cells"][1]["source"]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1


def test_all_are_covered():
    assert {path.stem for path in NOTEBOOKS} == set(SMALL)


def test_a_command_that_fails_stops_the_notebook(capsys):
    with pytest.raises(RuntimeError, match="landslide evaluate ended with exit code 2"):
        run(["evaluate", "nowhere"])
    assert "nowhere: is not a run folder" in capsys.readouterr().err
    assert all_commands().prog == "landslide"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path):
    """The set-up cell installs nothing that is there, so this runs in the present environment."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = f"{SMALL[path.stem]}\nWORK = {str(tmp_path)!r}"
    client = nbclient.NotebookClient(
        notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    text = json.dumps(notebook.cells)
    assert "Traceback" not in text
