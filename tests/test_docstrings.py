"""Every public function and class says what it is."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "landslide_tf"
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
