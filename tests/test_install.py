"""What `pip install` brings, and that the oldest versions that we allow work."""

import re
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


def listed(*names) -> set[str]:
    """The requirements in files `requirements-NAME.txt`."""
    lines = [
        line.split("#")[0].strip()
        for name in names
        for line in (ROOT / f"requirements-{name}.txt").read_text().splitlines()
    ]
    return {line for line in lines if line}


def plain(requirement: str) -> str:
    """A requirement as both pip and the wheel write it: 'a<2,>=1' and 'a>=1,<2' are one."""
    name, bounds = re.match(r"([\w.-]+)(.*)", requirement.replace(" ", "")).groups()
    return name + ",".join(sorted(bounds.split(",")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package's wheel, built without a network where setuptools is new enough."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "landslide_tf"):
        (copy / name).symlink_to(ROOT / name)
    for path in ROOT.glob("requirements*.txt"):
        (copy / path.name).symlink_to(path)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, copy], check=True
    )
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_asks_for_no_test_tools(wheel):
    with ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    needed, extras = set(), {}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"](\w+)", marker)
        (extras.setdefault(extra[1], set()) if extra else needed).add(plain(requirement))
    assert needed == {plain(line) for line in listed("runtime")}
    assert not {name for name in needed if re.match("pytest|hypothesis|ruff", name)}
    files = {
        "app": ("app",),
        "cluster": ("cluster",),
        "dev": ("test", "dev"),
        "export": ("export",),
        "notebooks": ("notebooks",),
    }
    assert extras == {
        extra: {plain(line) for line in listed(*names)} for extra, names in files.items()
    }


def test_one_file_installs_the_package_and_its_tests():
    assert listed("runtime") and listed("test")
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert lines[1:] == ["-r requirements-runtime.txt", "-r requirements-test.txt"]


SMOKE = """
import keras, numpy, sys, tensorflow
from landslide_tf.cli import main
from landslide_tf.models import build_model
from landslide_tf.runs.run import load_run

assert build_model("unetpp", attention="contextual", filters=2).output_shape[-1] == 1
options = "--model unetpp --attention contextual --filters 2 --epochs 1 --fusion bottleneck".split()
assert main(["train", *options, "--out", "run"]) == 0
run = load_run("run")
probability = run.predict(numpy.zeros((40, 50, 3), "uint8"), numpy.zeros((40, 50)))
assert probability.shape == (40, 50) and numpy.isfinite(probability).all()
assert keras.saving.load_model("run/model.keras", compile=False).count_params()
print("versions", tensorflow.__version__, keras.__version__, numpy.__version__)
"""


@pytest.mark.slow
def test_the_oldest_versions_that_are_allowed(tmp_path):
    """They are installed in an environment of their own; one run is trained, saved and loaded."""
    oldest = []
    for line in sorted(listed("runtime", "test")):
        name, version = re.match(r"([\w-]+)>=([\d.]+)", line).groups()
        oldest.append(f"{name}=={version}.*")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", *oldest], check=True)
    run = subprocess.run(
        [python, "-c", SMOKE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"versions 2\.19\.\d+ 3\.10\.\d+ 2\.0\.\d+", run.stdout)
