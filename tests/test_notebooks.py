"""The notebooks: what they show was stored by a run; they run again, in a small form."""

import ast
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from landslide_tf.cli import all_commands, run

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
SETUP, PARAMETERS, PLACE = 1, 2, 3  # the first cells of each, after its title
SMALL = {
    "quickstart": {"FILTERS": 2},
    "reproduce_paper": {
        "DATA": "", "DOWNLOAD": False, "ONLY": "unet-none-bce", "SEEDS": 1, "FILTERS": 2,
    },
    "map_a_scene": {"MODEL": "", "IMAGE": "", "DEM": "", "FILTERS": 2},
    "your_own_data": {
        "IMAGE": "", "DEM": "", "POLYGONS": "", "MODEL": "", "TILE_PX": 96, "RECALL": 0.9,
        "FILTERS": 2,
    },
}  # fmt: skip


def read(path):
    return json.loads(path.read_text())


def source(path, number):
    return "".join(read(path)["cells"][number]["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_with_what_a_run_of_all_cells_showed(path):
    code = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    text = json.dumps(outputs)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(output["output_type"] == "error" for output in outputs)
    assert "image/jpeg" in text
    assert not re.search("/(root|home|tmp)/|site-packages", text)  # places of a machine
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_has_its_badge_and_the_same_first_cells(path):
    cells = read(path)["cells"]
    assert f"/colab/{path.name})" in source(path, 0)
    for number in (SETUP, PLACE):
        assert cells[number] == read(NOTEBOOKS[0])["cells"][number]
        assert cells[number]["metadata"]["cellView"] == "form"  # collapsed on Colab
    tagged = [i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    assert tagged == [PARAMETERS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_a_form_field_of_its_type(path):
    text = source(path, PARAMETERS)
    kinds = {str: "string", int: "integer", float: "number", bool: "boolean"}
    names = set()
    for node in ast.parse(text).body:
        value = ast.literal_eval(node.value)
        names.add(node.targets[0].id)
        line = text.splitlines()[node.lineno - 1]
        assert line.endswith(f'# @param {{type:"{kinds[type(value)]}"}}')
    assert names == {*SMALL[path.stem], "EPOCHS", "DRIVE", "WORK"}


def test_all_are_covered():
    assert {path.stem for path in NOTEBOOKS} == set(SMALL)


def test_a_command_that_fails_stops_the_notebook(capsys):
    with pytest.raises(RuntimeError, match="landslide evaluate ended with exit code 2"):
        run(["evaluate", "nowhere"])
    assert "nowhere: is not a run folder" in capsys.readouterr().err
    assert all_commands().prog == "landslide"


@pytest.mark.parametrize(
    ("inside", "line"),
    [
        (False, "git.*which is a placeholder. Put the address of your copy into SOURCE"),
        (True, "pip could not install what is missing. Is there a network"),
    ],
)
def test_a_set_up_that_fails_ends_in_a_sentence(inside, line, tmp_path, monkeypatch):
    asked = []

    def pip(words, **_):
        asked.extend(words)
        return SimpleNamespace(returncode=1, stderr="fatal: x\nERROR: no such repository\n")

    monkeypatch.chdir(ROOT / "colab" if inside else tmp_path)
    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=f"{line}.*pip says: ERROR: no such repository$") as end:
        exec(source(NOTEBOOKS[0], SETUP), {})
    assert "\n" not in str(end.value)
    files = {Path(word[2:]).name for word in asked if word.startswith("-r")}
    assert files == (
        {"requirements-runtime.txt", "requirements-notebooks.txt"} if inside else set()
    )
    assert inside or "landslide_tf[notebooks] @ git" in " ".join(asked)


def test_a_folder_belongs_to_its_choices(tmp_path, capsys):
    names = {
        "sys": sys, "Path": Path, "hashlib": __import__("hashlib"), "WORK": str(tmp_path / "a"),
        "DRIVE": True, "landslide_tf": SimpleNamespace(__version__="1"),
    }  # fmt: skip
    exec(source(NOTEBOOKS[0], PLACE), names)
    folder, scene = names["folder"], tmp_path / "scene.tif"
    scene.write_text("one")
    first = folder("map", scene, "--filters 8")
    assert first.parent == tmp_path / "a" and first.name.startswith("map-")
    assert folder("map", str(scene), "--filters 8") == first
    assert folder("map", scene, "--filters 16") != first
    os.utime(scene, (1, 1))  # another file of that name
    assert folder("map", scene, "--filters 8") != first
    scene_again = folder("map", scene, "--filters 8")
    names["landslide_tf"].__version__ = "2"  # options may mean something else
    assert folder("map", scene, "--filters 8") != scene_again


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom_and_again(path, tmp_path):
    """Twice with the same parameters in one kernel and folder; one also with more epochs.

    The set-up cell installs nothing that is there, so this runs in the present environment.
    """
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    cells, rounds = notebook.cells, []
    for epochs in (1, 1, 2) if path.stem == "quickstart" else (2, 2):
        rounds += copy.deepcopy(cells if not rounds else cells[PARAMETERS:])
        values = SMALL[path.stem] | {"EPOCHS": epochs, "DRIVE": False, "WORK": str(tmp_path)}
        at = len(rounds) - len(cells) + PARAMETERS
        rounds[at].source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    for number, cell in enumerate(rounds):
        cell.id = f"cell-{number}"
    notebook.cells = rounds
    client = nbclient.NotebookClient(
        notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    text = json.dumps(notebook.cells)
    assert "Traceback" not in text
    if path.stem == "map_a_scene":  # the movable map, and what was missed
        assert text.count("leaflet") > 1
        shown = [
            o for c in rounds if "errors.png" in c.source for o in c.outputs
            if "image/png" in o.get("data", {})
        ]  # fmt: skip
        assert len(shown) == 2
