"""Parts of the paper's sizes that share no tile, and no group of tiles."""

import itertools
import re

import pytest
import shapely
from placed_tiles import grid, make_tiles, numbered, sizes

from landslide_tf.checks import InputError
from landslide_tf.data.split import PARTS, make_split, name_prefix


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


def touching(place, a, b) -> bool:
    """Whether two tiles share a pixel, an edge or a corner, told by shapely."""
    boxes = [shapely.box(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s in (a, b)]
    return boxes[0].distance(boxes[1]) < 1e-3 * place[0][2]


def check_gap(split, names, place):
    """No two tiles of different parts touch; every tile left out touches one that is in a part."""
    where = dict(zip(names, place, strict=True))
    part_of = {name: part for part in PARTS for name in split[part]}
    left_out = set(names) - set(part_of)
    assert left_out
    tree = shapely.STRtree([shapely.box(x - s, y - s, x + s, y + s) for x, y, s in place])
    for name in names:
        near = [names[i] for i in tree.query(shapely.Point(where[name][:2]).buffer(where[name][2]))]
        near = [n for n in near if n != name and touching(place, where[name], where[n])]
        if name in left_out:
            assert set(near) & set(part_of), f"{name} need not be left out"
        else:
            assert {part_of[n] for n in near if n in part_of} <= {part_of[name]}


@pytest.mark.parametrize("seed", range(3))
def test_group_split_keeps_blocks_on_the_ground_together_and_apart(seed):
    names, place = grid(20, 20)
    split = make_split(make_tiles(names, place=place), "group", seed=seed)
    part_of = {name: part for part in PARTS for name in split[part]}
    # 25 blocks of 4 x 4 tiles, counted from the corner
    blocks = {}
    for name, part in part_of.items():
        _, column, row = name.split("_")
        blocks.setdefault((int(column) // 4, int(row) // 4), set()).add(part)
    assert len(blocks) >= 20 and all(len(parts) == 1 for parts in blocks.values())
    check_gap(split, names, place)
    # Whole blocks of 16: test 80 = 5 blocks, of which the gap takes none.
    assert len(split["test"]) == 80
    # A quarter at most is lost; what is left is still near 64 and 16 %.
    assert len(split["train"]) >= 180 and len(split["validation"]) >= 40
    assert len(part_of) >= 300
    # all tiles have one prefix: it is the ground that decides
    assert {name_prefix(name) for name in names} == {"t"}


@pytest.mark.parametrize("columns, rows", [(16, 16), (12, 12), (30, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_group_split_leaves_a_gap_on_any_grid(columns, rows, seed):
    names, place = grid(columns, rows)
    split = make_split(make_tiles(names, place=place), "group", seed=seed)
    check_gap(split, names, place)
    assert len(split["train"]) > 0.38 * len(names)
    assert 0.08 * len(names) < len(split["validation"]) < 0.25 * len(names)
    # negatives keep it too
    check_gap(make_split(make_tiles(names, names[::3], place), "group", seed=seed), names, place)


def test_two_tiles_one_apart_are_enough_of_a_gap():
    # Three columns of four blocks: worked out by hand for one row of tiles, 12 in 3 blocks of 4.
    names, place = grid(12, 1, origin=(0, 0), side=1.0)
    split = make_split(make_tiles(names, place=place), "group")
    left_out = set(names) - {name for part in PARTS for name in split[part]}
    # Each of the two borders between blocks costs one tile, never the test part's.
    assert len(left_out) == 2 and left_out <= {f"t_{c:03d}_000" for c in (3, 4, 7, 8)}
    assert len(split["test"]) == 4


@pytest.mark.parametrize("seed", range(3))
def test_tiles_cut_with_overlap_share_no_pixel_across_parts(seed):
    # 128 pixels of 1 m, the next tile 64 m on: each touches 24 others (two steps each way)
    names, place = grid(20, 20, side=64.0)
    place = [(x, y, 128.0) for x, y, _ in place]
    split = make_split(make_tiles(names, place=place), "group", seed=seed)
    check_gap(split, names, place)


def test_blocks_grow_with_the_set_so_that_less_is_lost():
    names, place = grid(40, 40, origin=(0, 0), side=1.0)
    split = make_split(make_tiles(names, place=place), "group")
    # 25 blocks of 8 x 8; of 4 x 4 there would be 100, with twice the length of borders
    tiles_of = {tuple(int(v) // 8 for v in n.split("_")[1:]) for n in split["test"]}
    assert len(tiles_of) * 64 == len(split["test"]) == 320
    assert sum(map(len, split.values())) > 0.85 * 1600


@pytest.mark.parametrize(
    "tiles, options, message",
    [
        (make_tiles(numbered(2)), {}, "at least 3 tiles.*2"),
        (make_tiles(numbered(1)), {}, "at least 3 tiles.*1"),
        (make_tiles(numbered(9) + ["n0", "n1"], ["n0", "n1"]), {}, "at least 3 tiles"),
        (make_tiles(numbered(9) + ["n0"], ["n0"]), {}, "at least 3 tiles"),
        (
            make_tiles(numbered(5, "a") + numbered(5, "b")),
            {"how": "group"},
            "--split group finds 2 group.*--split FILE",
        ),
        # three blocks of 4 (the median side is 1); the tile in the middle reaches both others
        (
            make_tiles(numbered(3), place=[(0.5, 0.5, 1.0), (5.0, 0.5, 9.0), (9.5, 0.5, 1.0)]),
            {"how": "group"},
            "gap between the parts.*--split random",
        ),
        (make_tiles(numbered(9)), {"test_prefix": "t"}, "'t'"),
        (make_tiles(numbered(9)), {"test_prefix": "C"}, "'C'"),
    ],
)
def test_tiles_that_cannot_be_split(tiles, options, message):
    with pytest.raises(InputError, match=message):
        make_split(tiles, **options)


def test_without_a_place_there_is_no_gap():
    names = numbered(40, "a") + numbered(40, "b") + numbered(40, "c")
    check_complete(make_split(make_tiles(names), "group"), make_tiles(names))


@pytest.mark.parametrize("how", ["random", "group"])
def test_test_prefix(how):
    names, place = grid(8, 8)
    names = [("B" if i < 16 else "A") + name for i, name in enumerate(names)]
    tiles = make_tiles(names, place=place)
    split = make_split(tiles, how, seed=2, test_prefix="B")
    assert split["test"] == sorted(name for name in names if name[0] == "B")
    if how == "random":
        check_complete(split, tiles)
        # of the other 48: 0.2 * 48 = 9.6
        assert sizes(split) == (38, 10, 16)
    else:
        check_gap(split, names, place)


def test_seeds_give_other_parts():
    # also where no two blocks are of one size: 5 rows of 1 to 5 blocks, each cut off at its own
    names, place = grid(20, 20)
    kept = [i for i in range(400) if place[i][0] - place[0][0] <= 50 * (i % 20 + 1)]
    names, place = [names[i] for i in kept], [place[i] for i in kept]
    tiles = make_tiles(names, place=place)
    tests = {tuple(make_split(tiles, "group", seed=seed)["test"]) for seed in range(4)}
    assert len(tests) == 4


@pytest.mark.data
@pytest.mark.parametrize("name", ["mmls-v2", "jinsha"])
def test_real_grids_keep_the_gap(name, real_data):
    from landslide_tf.data.arrays import load_tiles

    tiles = load_tiles(real_data / name, fusion="rgb", tile_px=16)
    split = make_split(tiles, "group", seed=1)
    # Names give the place on the grid: colCCCCC_rowRRRRR in tiles, AREA_ROW_COL in pixels of 128.
    part_of = {n: part for part in PARTS for n in split[part]}
    at = {}
    for n in part_of:
        area, numbers = n[0], [int(number) for number in re.findall(r"\d+", n)]
        at[(area, *(v // 128 if name == "jinsha" else v for v in numbers))] = part_of[n]
    for (area, a, b), part in at.items():
        for da, db in itertools.product((-1, 0, 1), repeat=2):
            assert at.get((area, a + da, b + db), part) == part
    assert sum(map(len, split.values())) > 0.7 * len(tiles)
