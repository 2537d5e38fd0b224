"""A split in a file is obeyed, or refused in a line; what it says of its tiles."""

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
from placed_tiles import grid, make_tiles, numbered

from landslide_tf.checks import InputError
from landslide_tf.data.split import PARTS, make_split, overlapping, split_content
from landslide_tf.data.split_notes import split_notes
from landslide_tf.files import write_json

TILES = make_tiles(numbered(6))
GOOD = {
    "train": ["t0004", "t0000", "t0001"],
    "validation": ["t0002"],
    "test": ["t0003"],
}  # t0005 is in no part


@pytest.fixture
def write(tmp_path):
    def write_split(content):
        path = tmp_path / "split.json"
        path.write_text(json.dumps(content))
        return path

    return write_split


def check_refused(path, *parts, tiles=TILES):
    with pytest.raises(InputError) as error:
        make_split(tiles, str(path))
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for part in parts:
        assert part in message


def test_split_file_is_obeyed(write):
    assert make_split(TILES, str(write(GOOD)), seed=99) == GOOD
    assert make_split(TILES, str(write({**GOOD, "test": []})))["test"] == []
    assert make_split(TILES, str(write({**GOOD, "note": "by hand"}))) == GOOD


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"train": ["t0000", "nowhere", "t0007"]}, ["2 tiles", "'nowhere'"]),
        ({"test": ["t0000"]}, ["'t0000' twice"]),
        ({"train": ["t0000", "t0000"]}, ["'t0000' twice"]),
        ({"train": []}, ['"train" is empty']),
        ({"validation": []}, ['"validation" is empty']),
        ({"validation": "t0002"}, ["list", '"validation"']),
        ({"train": [0, 1, 2]}, ["list", '"train"']),
        ({"files": ["t0000"]}, ['"files"']),
        *(({part: None}, ["list", f'"{part}"']) for part in PARTS),
    ],
)
def test_split_file_with_a_fault(change, parts, write):
    check_refused(write({**GOOD, **change}), *parts)
    without = {part: names for part, names in GOOD.items() if part not in change}
    if change != {"files": ["t0000"]}:
        check_refused(write(without), f'"{next(iter(change))}"')


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'["train"]', b"null", b"5", b'"train"', b"not json", b"\xff\xfe{\x00",
     '{"note": "Gelände"}'.encode("latin-1")],
)  # fmt: skip
def test_split_file_that_is_none(content, tmp_path):
    path = tmp_path / "split.json"
    path.write_bytes(content)
    check_refused(path, *(["UTF-8"] if b"Gel" in content else []))


def test_split_file_that_cannot_be_opened(tmp_path):
    check_refused(tmp_path / "missing.json", "no such file", "'random'", "'group'")
    (tmp_path / "folder.json").mkdir()
    check_refused(tmp_path / "folder.json")


def test_split_json_comes_back_and_notices_changed_files(tmp_path):
    split = make_split(TILES, seed=4)
    path = tmp_path / "split.json"
    write_json(path, split_content(split, TILES))
    content = json.loads(path.read_text())
    assert content["files"] == TILES.files and content["data_sha256"] == TILES.sha256
    assert make_split(TILES, str(path)) == split
    files = {**TILES.files, "t0003": {"image": "another hash"}}
    check_refused(path, "'t0003'", "changed", tiles=dataclasses.replace(TILES, files=files))


def test_split_content_names_the_files_of_its_tiles_alone():
    assert "t0005" not in split_content(GOOD, TILES)["files"]
    assert len(split_content(GOOD, TILES)["files"]) == 5


def test_split_content_lists_what_the_gap_leaves_out(tmp_path):
    names, place = grid(16, 16)
    tiles = make_tiles(names, place=place)
    split = make_split(tiles, "group")
    content = split_content(split, tiles)
    used = {name for part in PARTS for name in split[part]}
    assert content["left_out"] == sorted(set(names) - used)
    (note,) = split_notes(content, tiles)
    assert note.startswith(f"{256 - len(used)} tiles are in no part")
    write_json(tmp_path / "split.json", content)  # which can be given again
    again = make_split(tiles, str(tmp_path / "split.json"))
    assert split_content(again, tiles) == content
    assert "left_out" not in split_content(make_split(TILES), TILES)
    assert split_notes(split_content(make_split(TILES), TILES), TILES) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_split_file_in_any_unicode_encoding(encoding, ends, tmp_path):
    text = json.dumps(GOOD, indent=1).replace("\n", ends)
    (tmp_path / "split.json").write_bytes(text.encode(encoding))
    assert make_split(TILES, str(tmp_path / "split.json")) == GOOD


def test_copies_are_named_where_they_lie_in_two_parts():
    files = {name: {"image": f"hash {i % 4}"} for i, name in enumerate(TILES.names)}
    tiles = dataclasses.replace(TILES, files=files)
    # t0000 = t0004 (both train), t0001 = t0005 (in no part)
    assert not any(
        "in more than one part" in n for n in split_notes(split_content(GOOD, tiles), tiles)
    )
    moved = {"train": ["t0000", "t0001", "t0002"], "validation": ["t0004", "t0003"],
             "test": ["t0005"]}  # fmt: skip
    (line,) = split_notes(split_content(moved, tiles), tiles)
    assert "2 images are in more than one part" in line and "\n" not in line
    assert "'t0000' (train) = 't0004' (validation)" in line
    assert "'t0001' (train) = 't0005' (test)" in line


def test_many_copies_are_counted_and_few_shown():
    names = numbered(40)
    tiles = make_tiles(names)
    tiles = dataclasses.replace(
        tiles, files={name: {"image": f"{i % 20}"} for i, name in enumerate(names)}
    )
    split = {"train": names[:20], "validation": names[20:30], "test": names[30:]}
    (line,) = split_notes(split_content(split, tiles), tiles)
    assert line.startswith("warning: 20 images are") and "and 15 more" in line


def test_tiles_that_share_ground_across_parts_are_counted():
    """A row of tiles of side 2: those at 0, 1, 2 overlap, those at 10 and 12 touch."""
    names = numbered(5)
    tiles = make_tiles(names, place=[(x, 0, 2) for x in (0, 1, 2, 10, 12)])

    def notes(train, validation, test):
        parts = zip(PARTS, (train, validation, test), strict=True)
        split = {part: [names[i] for i in numbers] for part, numbers in parts}
        return [n for n in split_notes(split_content(split, tiles), tiles) if "ground" in n]

    assert notes((0, 1, 2), (3,), (4,)) == []
    (line,) = notes((0, 3), (1,), (2, 4))
    assert "1 of 1 validation tiles and 1 of 2 test tiles share ground" in line
    (line,) = notes((1,), (3,), (0, 2, 4))
    assert "warning: 2 of 3 test tiles share ground with tiles of the parts before" in line
    (line,) = notes((3,), (0,), (1, 4))
    assert "1 of 2 test tiles share ground" in line


def test_a_large_tile_far_away_makes_no_pairs_of_the_others():
    """A row of 3,000 tiles of side 1, two apart, touch nobody; all pairs of them would be 72 MB."""
    place = np.array([(2 * i, 0, 1) for i in range(3000)] + [(20_000, 0, 10_000)], float)
    tracemalloc.start()
    touching, sharing = overlapping(place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(touching) == len(sharing) == 0 and peak < 5e6
