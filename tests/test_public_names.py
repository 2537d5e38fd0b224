"""What `import landslide_tf` gives: the names, for users, editors and type checkers."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import landslide_tf

SOURCE = Path(landslide_tf.__file__)


def test_names_are_listed_and_can_be_imported():
    assert set(landslide_tf.__all__) <= set(dir(landslide_tf))
    for name in landslide_tf.__all__:
        assert getattr(landslide_tf, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'DiseLoss'"):
        landslide_tf.DiseLoss  # noqa: B018


def test_editors_see_what_is_imported():
    tree = ast.parse(SOURCE.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(seen) == sorted(landslide_tf.__all__)
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(landslide_tf, name)
    assert (SOURCE.parent / "py.typed").exists()


@pytest.mark.parametrize("name", sorted(landslide_tf.__all__))
def test_public_arguments_are_typed(name):
    value = getattr(landslide_tf, name)
    tensors = {"dtype", "options"}
    for parameter in inspect.signature(value).parameters.values():
        if parameter.name not in tensors:
            assert parameter.annotation is not inspect.Parameter.empty, f"{name}: {parameter}"
