"""What a run records of where it was made."""

import os
import subprocess

import pytest

from landslide_tf.training.environment import _commit, cores_available


def git(folder, *words):
    name = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "code.py").write_text("a = 1\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "metrics.json").write_text("{}")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "First")
    return tmp_path


def test_commit_of_an_unchanged_checkout(checkout):
    commit = _commit(checkout)
    assert len(commit) == 12 and int(commit, 16) >= 0


def test_changed_code_is_dirty_and_new_results_are_not(checkout):
    clean = _commit(checkout)
    (checkout / "results" / "metrics.json").write_text("{1}")
    assert _commit(checkout) == clean
    (checkout / "code.py").write_text("a = 2\n")
    assert _commit(checkout) == f"{clean}-dirty"


def test_a_package_installed_within_somebodys_checkout_has_no_commit(checkout):
    inside = checkout / "site-packages"
    inside.mkdir()
    assert _commit(inside) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_cores_are_those_that_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores_available() == 1
    finally:
        os.sched_setaffinity(0, allowed)
