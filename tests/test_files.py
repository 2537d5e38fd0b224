"""Files are written whole or not at all; digests are those of the standard."""

import json

import numpy as np
import pytest

from landslide_tf.files import atomic_path, sha256, write_json


def test_atomic_path_replaces_at_the_end(tmp_path):
    target = tmp_path / "model.keras"
    target.write_text("old")
    with atomic_path(target) as scratch:
        scratch.write_text("new")
        assert target.read_text() == "old"
        # on the same file system, and with the suffix by which writers choose a format
        assert scratch.parent == target.parent and scratch.suffix == ".keras"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_atomic_path_keeps_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "metrics.json"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="midway"), atomic_path(target) as scratch:
        scratch.write_text("ha")
        raise RuntimeError("midway")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_write_json_turns_undefined_into_null(tmp_path):
    content = {
        "nan": float("nan"),
        "infinite": [np.float32("inf"), -float("inf")],
        "numpy": (np.int64(3), np.float64(0.5), np.bool_(True)),
        "deep": {"a": [{"b": np.float64("nan")}]},
        "text": "é",
    }
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "nan": None,
        "infinite": [None, None],
        "numpy": [3, 0.5, True],
        "deep": {"a": [{"b": None}]},
        "text": "é",
    }


def test_write_json_keeps_the_old_file_when_the_content_is_none(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_sha256_of_the_standards_example(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-4, example of one block
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == expected
