"""Nothing in the package needs POSIX: a process that lacks what Windows lacks does all the work."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POSIX = ("resource", "fcntl", "termios", "pwd", "grp", "tty", "pty")
# What Windows has not: functions of `os`, and files below /proc.
MISSING = ("sched_getaffinity", "sched_setaffinity", "posix_fallocate", "fork", "getuid", "uname")
WINDOWS = f"""
import builtins, os, signal, subprocess, sys
for name in {POSIX}:
    sys.modules[name] = None
for name in {MISSING}:
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1"):
    delattr(signal, name)
real_open = builtins.open
import io, pathlib
def no_proc(file, *words, **options):
    if str(file).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", str(file))
    return real_open(file, *words, **options)
builtins.open = io.open = no_proc
"""


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """Run a command in a process that lacks them."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "windows.py").write_text(WINDOWS)

    def run(*words):
        code = (
            # NumPy and TensorFlow are built for this system, and may use what it has
            "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '2'\n"
            "import keras, rasterio, cv2, pandas, scipy.spatial, matplotlib.pyplot, sklearn\n"
            "import windows\nfrom landslide_tf.cli import main\n"
            f"raise SystemExit(main({[str(word) for word in words]!r}))"
        )
        path = os.pathsep.join([str(folder), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_check_and_train(windows, tiny_tiles, tmp_path):
    assert "12 landslide tiles" in windows("data", "check", tiny_tiles)
    small = ("--filters", 2, "--tile-px", 32, "--epochs", 1, "--model", "unet")
    windows("train", "--data", tiny_tiles, *small, "--cache", tmp_path / "cache",
            "--out", tmp_path / "run")  # fmt: skip
    assert (tmp_path / "run/metrics.json").is_file()


@pytest.mark.slow
def test_map(windows, constant_run, make_scene, tmp_path):
    image, dem = make_scene()
    text = windows("map", "--model", constant_run, "--image", image, "--dem", dem,
                   "--out", tmp_path / "map")  # fmt: skip
    assert "? MiB" in text  # what Windows does not tell
    assert '"peak_memory_mib": null' in (tmp_path / "map/report.json").read_text()


def test_peak_memory_has_one_unit(monkeypatch):
    """Linux counts KiB, macOS bytes; a process of this size has between 50 MiB and 100 GiB."""
    import resource
    from types import SimpleNamespace

    from landslide_tf.training import environment

    for platform, peak in (("linux", 300 * 1024), ("darwin", 300 * 1024**2)):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(
            resource, "getrusage", lambda _, peak=peak: SimpleNamespace(ru_maxrss=peak)
        )
        assert environment.peak_memory_mib() == 300


def test_posix_modules_are_imported_at_no_module_s_top():
    for path in (ROOT / "landslide_tf").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            assert not set(names) & set(POSIX), path
