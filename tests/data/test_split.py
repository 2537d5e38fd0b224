"""Parts of the paper's sizes that share no tile, and no group of tiles."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.data.arrays import Tiles
from landslide_tf.data.split import PARTS, make_split, name_prefix, split_content
from landslide_tf.files import write_json
from landslide_tf.inputs import InputSpec


def make_tiles(names, negative=(), place=None) -> Tiles:
    """Tiles of one pixel: a split looks at names and places alone."""
    count = len(names)
    blank = np.zeros((count, 1, 1), "float32")
    return Tiles(
        spec=InputSpec(),
        names=tuple(names),
        negative=np.array([name in negative for name in names]),
        has_dem=np.ones(count, bool),
        place=np.full((count, 3), np.nan) if place is None else np.array(place, "float64"),
        files={name: {"image": f"hash of {name}"} for name in names},
        rgb=np.zeros((count, 1, 1, 3), "float32"),
        dem=blank,
        terrain=np.zeros((count, 1, 1, 0), "float32"),
        mask=blank.astype("uint8"),
        image_valid=blank == 0,
        input_valid=blank == 0,
        valid=blank == 0,
    )


def numbered(count, prefix="t"):
    return [f"{prefix}{i:04d}" for i in range(count)]


def sizes(split):
    return tuple(len(split[part]) for part in PARTS)


def check_complete(split, tiles):
    names = [name for part in PARTS for name in split[part]]
    assert sorted(names) == sorted(tiles.names)
    assert list(split) == list(PARTS)


@pytest.mark.parametrize(
    "count, expected",
    [
        (770, (493, 123, 154)),  # the paper's
        (100, (64, 16, 20)),
        # test 0.2 * 12 = 2.4 -> 2; validation 0.2 * 10 = 2
        (12, (8, 2, 2)),
        (3, (1, 1, 1)),
    ],
)
def test_random_split_has_the_papers_sizes(count, expected):
    tiles = make_tiles(numbered(count))
    split = make_split(tiles, "random", seed=3)
    assert sizes(split) == expected
    check_complete(split, tiles)
    assert all(names == sorted(names) for names in split.values())


def test_random_split_is_decided_by_its_seed():
    tiles = make_tiles(numbered(60))
    assert make_split(tiles, seed=5) == make_split(tiles, seed=5)
    assert make_split(tiles, seed=5) != make_split(tiles, seed=6)


def test_random_split_is_spread_over_the_names():
    # of 400 tiles, 80 are for the test: about half of them from the first half of the names
    split = make_split(make_tiles(numbered(400)))
    first = sum(name < "t0200" for name in split["test"])
    assert 25 < first < 55  # deviation sqrt(80 / 4) = 4.5


def test_negatives_are_split_on_their_own():
    names, negative = numbered(50), numbered(20, "n")
    split = make_split(make_tiles(names + negative, negative), seed=1)
    # 50 -> 32, 8, 10 and 20 -> 13, 3, 4 (test 4, validation 0.2 * 16 = 3.2)
    assert sizes(split) == (45, 11, 14)
    assert [sum(n[0] == "n" for n in split[part]) for part in PARTS] == [13, 3, 4]
    # the landslide tiles fall as they do without
    alone = make_split(make_tiles(names), seed=1)
    assert {part: [n for n in split[part] if n[0] == "t"] for part in PARTS} == alone


@pytest.mark.parametrize("seed", range(5))
def test_group_split_keeps_a_prefix_together(seed):
    # counties of the paper's data set, of uneven sizes
    counts = {"df": 60, "hz": 40, "js": 25, "nyd": 25, "qx": 20, "wn": 20, "zj": 10}
    names = [name for prefix, count in counts.items() for name in numbered(count, prefix)]
    tiles = make_tiles(names)
    split = make_split(tiles, "group", seed=seed)
    check_complete(split, tiles)
    parts_of = {
        prefix: {part for part in PARTS if any(n.startswith(prefix) for n in split[part])}
        for prefix in counts
    }
    assert all(len(parts) == 1 for parts in parts_of.values())
    # as near to 64 / 16 / 20 % as whole groups allow: off by less than the largest
    for part, share in zip(PARTS, (0.64, 0.16, 0.2), strict=True):
        assert abs(len(split[part]) - share * len(names)) < 60


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_group_trains(seed):
    # 80 of 100 tiles in one county: nowhere else would they leave enough to train on
    names = numbered(80, "large") + [f"{prefix}{i}" for prefix in "abcd" for i in range(5)]
    split = make_split(make_tiles(names), "group", seed=seed)
    assert sum(name.startswith("large") for name in split["train"]) == 80
    # the four of 5 go to the parts that want 16 and 20
    assert sizes(split) == (80, 10, 10)


@pytest.mark.parametrize(
    "name, prefix",
    [
        ("df003", "df"),
        ("A_0128_0512", "A"),
        ("nyd-12", "nyd"),
        ("2018_07_a", "2018"),
        ("non-landslide/df003", "non-landslide/df"),
        ("plain", "plain"),
    ],
)
def test_name_prefix(name, prefix):
    assert name_prefix(name) == prefix


def grid(columns, rows, origin=(500_000, 3_000_000), side=64.0):
    """Names and places of adjoining tiles."""
    cells = list(itertools.product(range(columns), range(rows)))
    x, y = origin
    return (
        [f"t_{c:03d}_{r:03d}" for c, r in cells],
        [(x + (c + 0.5) * side, y + (r + 0.5) * side, side) for c, r in cells],
    )


@pytest.mark.parametrize("seed", range(3))
def test_group_split_keeps_blocks_on_the_ground_together(seed):
    names, place = grid(20, 20, origin=(256 * 2000, 256 * 12000))
    tiles = make_tiles(names, place=place)
    split = make_split(tiles, "group", seed=seed)
    check_complete(split, tiles)
    part_of = {name: part for part in PARTS for name in split[part]}
    # the corner is a whole multiple of the block's 4 * 64 m: 25 blocks of 4 x 4 tiles
    blocks = {}
    for name in names:
        _, column, row = name.split("_")
        blocks.setdefault((int(column) // 4, int(row) // 4), set()).add(part_of[name])
    assert len(blocks) == 25 and all(len(parts) == 1 for parts in blocks.values())
    # 16 tiles more or less
    for part, share in zip(PARTS, (0.64, 0.16, 0.2), strict=True):
        assert abs(len(split[part]) / 400 - share) <= 16 / 400
    # all tiles have one prefix: it is the ground that decides
    assert {name_prefix(name) for name in names} == {"t"}


def test_group_split_without_enough_groups():
    with pytest.raises(InputError, match="--split group finds 2 group.*--split FILE"):
        make_split(make_tiles(numbered(5, "a") + numbered(5, "b")), "group")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_tiles(count):
    if count:
        with pytest.raises(InputError, match=f"at least 3 tiles.*{count}"):
            make_split(make_tiles(numbered(count)))
    with pytest.raises(InputError, match="at least 3 tiles"):
        make_split(make_tiles(numbered(9) + numbered(count or 1, "n"), numbered(count or 1, "n")))


@pytest.mark.parametrize("how", ["random", "group"])
def test_test_prefix(how):
    names, place = grid(8, 8)
    names = [("B" if i < 16 else "A") + name for i, name in enumerate(names)]
    tiles = make_tiles(names, place=place)
    split = make_split(tiles, how, seed=2, test_prefix="B")
    check_complete(split, tiles)
    assert split["test"] == sorted(name for name in names if name[0] == "B")
    if how == "random":
        # of the other 48: 0.2 * 48 = 9.6
        assert sizes(split) == (38, 10, 16)
    with pytest.raises(InputError, match="'C'"):
        make_split(tiles, how, test_prefix="C")


def test_test_prefix_of_all_tiles_leaves_none_for_training():
    with pytest.raises(InputError, match="'t'"):
        make_split(make_tiles(numbered(9)), test_prefix="t")


# ---- split files -------------------------------------------------------------------------------

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
        path.write_text(content if isinstance(content, str) else json.dumps(content))
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
        ({"test": None}, ["list", '"test"']),
        ({"files": ["t0000"]}, ['"files"']),
    ],
)
def test_split_file_with_a_fault(change, parts, write):
    check_refused(write({**GOOD, **change}), *parts)


@pytest.mark.parametrize("part", PARTS)
def test_split_file_without_a_part(part, write):
    check_refused(write({p: names for p, names in GOOD.items() if p != part}), f'"{part}"')


@pytest.mark.parametrize("text", ["", "{", '["train"]', "null", "5", '"train"', "not json"])
def test_split_file_that_is_none(text, write):
    check_refused(write(text))


def test_split_file_that_cannot_be_opened(tmp_path):
    check_refused(tmp_path / "missing.json", "no such file", "'random'", "'group'")
    (tmp_path / "folder.json").mkdir()
    check_refused(tmp_path / "folder.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{\x00")
    check_refused(tmp_path / "bytes.json")


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
