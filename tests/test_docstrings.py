"""Every public function and class says what it is."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import landslide_tf

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "landslide_tf"
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def public(body):
    return [n for n in body if isinstance(n, DEFINITIONS) and not n.name.startswith("_")]


PUBLIC = [
    pytest.param(node, id=f"{path.relative_to(PACKAGE)}:{node.name}")
    for path in sorted(PACKAGE.rglob("*.py"))
    for node in public(ast.parse(path.read_text()).body)
]


@pytest.mark.parametrize("node", PUBLIC)
def test_documented(node):
    assert ast.get_docstring(node)
    if isinstance(node, ast.ClassDef):
        for method in public(node.body):
            assert ast.get_docstring(method), method.name


@pytest.mark.slow
def test_the_reference_shows_the_public_names(tmp_path):
    pytest.importorskip("pdoc")
    subprocess.run(
        [sys.executable, "-m", "docs.api"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    page = (tmp_path / "build/api/landslide_tf.html").read_text()
    for name in landslide_tf.__all__:
        assert f'<section id="{name}">' in page
    text = re.sub(r"<[^>]+>", "", page)
    assert "a function of your own" in text  # the docstring of build_model
    assert (tmp_path / "build/api/landslide_tf/models/attention.html").exists()
