"""Files are written whole or not at all and never over inputs; text is read in any Unicode."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landslide_tf.checks import InputError
from landslide_tf.files import (
    atomic_path,
    check_outputs,
    read_json,
    read_text,
    sha256,
    write_json,
)


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


# ---- outputs and inputs ------------------------------------------------------------------------


def refused(outputs, inputs, *words):
    with pytest.raises(InputError) as error:
        check_outputs(outputs, inputs)
    message = str(error.value)
    assert "\n" not in message and "--overwrite does not replace inputs" in message
    for word in words:
        assert str(word) in message


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/scene.tif"
    path.write_text("pixels")
    return path


def test_an_output_is_no_input_by_any_name(scene, tmp_path, monkeypatch):
    symbolic, hard, folder = tmp_path / "link.tif", tmp_path / "hard.tif", tmp_path / "there"
    symbolic.symlink_to(scene)
    hard.hardlink_to(scene)
    folder.symlink_to(scene.parent, target_is_directory=True)
    monkeypatch.chdir(scene.parent)
    for name in (scene, symbolic, hard, folder / "scene.tif", "scene.tif", "../in/./scene.tif",
                 scene.with_name("Scene.TIF"), str(scene)):  # fmt: skip
        refused([tmp_path / "new.tif", name], [tmp_path / "other", scene], name)
        refused([scene], [name], scene)


def test_a_folder_that_is_replaced_holds_no_input(scene, tmp_path):
    refused([tmp_path], [scene], tmp_path, scene)
    refused([scene.parent], [scene])
    refused([scene.parent], [scene.parent])
    (tmp_path / "link").symlink_to(scene.parent, target_is_directory=True)
    refused([tmp_path / "link"], [scene])
    # a folder of the same start, and one below the input's
    (tmp_path / "i").mkdir()
    check_outputs([tmp_path / "i", scene.parent / "below"], [scene])


def test_other_files_may_be_written(scene):
    scene.with_name("old.tif").write_text("")
    new = [scene.with_name("new.tif"), scene.with_name("old.tif"), scene.parent / "map/scene.tif"]
    check_outputs(new, [scene, None, scene.with_name("missing.tif")])
    check_outputs([], [scene])


# ---- text from anywhere ------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=40)


@given(TEXTS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]))
def test_text_in_every_unicode_encoding_comes_back(text, encoding):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
        path.write_bytes(mark + text.encode(encoding))
        if path.read_bytes().startswith(b"\xff\xfe\0\0") and encoding != "utf-32":
            return  # the same bytes begin UTF-32
        assert read_text(path) == read_text(path, errors="strict") == text


def test_bytes_of_file_names_are_kept(tmp_path):
    (tmp_path / "text").write_bytes(b"Gel\xe4nde.tif")
    assert os.fsencode(read_text(tmp_path / "text")) == b"Gel\xe4nde.tif"
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "text", errors="strict")


@given(st.binary(max_size=60))
def test_json_of_any_bytes_is_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_bytes(data)
        try:
            assert isinstance(read_json(path, "make it again"), dict)
        except InputError as error:
            message = str(error)
            assert message.startswith(f"{path}: ") and message.endswith("; make it again")
            assert "\n" not in message


def test_json_is_named_where_it_is_missing_deep_or_of_another_kind(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match="a.json: is missing; make it"):
        read_json(path, "make it")
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="a.json: is damaged"):
        read_json(path, "make it")
    path.write_text("[1]")
    with pytest.raises(InputError, match="holds a list, not a dict"):
        read_json(path, "make it")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path, "make it")
