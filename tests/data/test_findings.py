"""`data check` says what is odd about a folder, why it matters and what to type."""

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.data.check import check_folder, format_report, near_duplicates
from landslide_tf.data.findings import LEVELS, Finding, format_findings


@pytest.fixture
def tile(tmp_path, rng):
    """A function that writes one tile; all pixels differ, and so do all tiles."""

    def write(name, *, size=32, suffix=".png", image=None, dem="ramp", mask=None, **place):
        if image is None:
            image = rng.integers(1, 255, (size, size, 3)).astype("uint8")
        if mask is None:
            mask = np.zeros((size, size), "uint8")
            mask[: size // 4] = 1
        write_raster(tmp_path / f"t/landslide/image/{name}{suffix}", image, **place)
        write_raster(tmp_path / f"t/landslide/mask/{name}.png", mask)
        if isinstance(dem, str):
            dem = np.add.outer(np.arange(size), np.arange(size)).astype("float32") + 500
        if dem is not None:
            write_raster(tmp_path / f"t/landslide/dem/{name}.tif", dem, **place)
        return image

    return write


def findings(tmp_path, level=None):
    found = check_folder(tmp_path / "t")["findings"]
    for finding in found:
        assert finding.level in LEVELS and finding.why and finding.repair
    return [finding for finding in found if level in (None, finding.level)]


def one(found, start) -> Finding:
    (finding,) = [finding for finding in found if start in finding.what]
    return finding


def placed(x, y, metres=2.0, crs="EPSG:32647"):
    return {"suffix": ".tif", "crs": crs, "transform": from_origin(x, y, metres, metres)}


def test_a_plain_folder_has_nothing_odd(tile, tmp_path):
    for name in ("a1", "a2", "a3"):
        tile(name)
    assert findings(tmp_path) == []
    assert format_report(check_folder(tmp_path / "t")).endswith("nothing is wrong or odd")


def test_what_is_worst_comes_first_with_counts_and_examples(tile, tmp_path):
    for i in range(8):
        tile(f"a{i}", dem=np.where(np.eye(32), -32768, 700 + np.arange(32)).astype("float32"))
        if i < 7:
            (tmp_path / f"t/landslide/image/x{i}.png").write_bytes(b"")
    tile("b0", mask=np.zeros((32, 32), "uint8"))
    found = findings(tmp_path)
    assert [f.level for f in found] == sorted((f.level for f in found), key=LEVELS.index)
    alone = found[0]
    assert alone.level == "error" and alone.what == "7 files belong to no tile"
    assert len(alone.examples) == 7 and "x0.png: has no mask" in alone.examples[0]
    voids = one(found, "-32768")
    assert voids.level == "warning" and voids.what.startswith("8 tiles: ")
    assert voids.repair.startswith("give --nodata=-32768")
    assert voids.examples == [f"a{i}" for i in range(8)]
    assert one(found, "1 mask has no landslide pixel").examples == ["b0"]
    text = format_report(check_folder(tmp_path / "t"))
    assert "1 error, 2 warnings, 1 note" in text
    assert text.index("error: 7 files") < text.index("warning: 8 tiles") < text.index("note: names")
    assert "x4.png" in text and "x5.png" not in text and "and 2 more" in text
    assert text.isascii()


def test_copies_are_told_from_what_only_looks_alike(tile, tmp_path):
    image = tile("a1")
    tile("a2", image=image)
    tile("a3", image=image[::-1])
    report = check_folder(tmp_path / "t")
    assert report["copies"] == [["a1", "a2"]]
    assert report["near_duplicates"] == [("a1", "a3")]  # a2 is a1
    found = findings(tmp_path, "warning")
    assert one(found, "1 image is there more than once").examples == ["a1 = a2"]
    assert one(found, "1 pair of tiles looks alike").examples == ["a1 ~ a3"]


def test_mixed_sizes_and_types(tile, tmp_path, rng):
    tile("a1", size=32)
    tile("a2", size=64)  # twice as large is not yet odd
    assert findings(tmp_path, "warning") == []
    tile("a3", size=80)
    tile("a4", image=rng.integers(1, 65000, (32, 32, 3)).astype("uint16"))
    found = findings(tmp_path, "warning")
    assert one(found, "tiles have sides of 32 to 80 px").examples[1] == "a3 (80 px)"
    types = one(found, "image files are of 2 types: uint8 x 3 (3), uint16 x 3 (1)")
    assert types.examples == ["a1 (uint8 x 3)", "a4 (uint16 x 3)"]


def test_mixed_sources(tile, tmp_path):
    tile("a1", **placed(470000, 3445000))
    tile("a2", **placed(480000, 3445000))
    assert findings(tmp_path, "warning") == []
    tile("b1", **placed(480000, 3465000, metres=4.0))
    tile("c1", **placed(480000, 3445000, crs="EPSG:32648"))
    tile("d1")
    found = findings(tmp_path, "warning")
    one(found, "tiles have 2 to 4 m a pixel")
    systems = one(found, "tiles are of 2 coordinate systems: WGS 84 / UTM zone 47N (3)")
    assert "gdalwarp" in systems.repair
    assert one(found, "1 tile has no georeference, 4 have one").examples == ["d1"]


def test_a_dem_for_some_or_for_none(tile, tmp_path):
    tile("a1", dem=None)
    tile("a2", dem=None)
    assert "--fusion rgb" in one(findings(tmp_path, "note"), "no tile has a DEM").repair
    tile("a3")
    found = one(findings(tmp_path, "warning"), "2 tiles have no DEM, 1 do")
    assert found.examples == ["a1", "a2"]


def test_tiles_that_share_ground_or_adjoin(tile, tmp_path):
    tile("a1", **placed(470000, 3445000))  # 32 pixels of 2 m: 64 m
    tile("a2", **placed(470064, 3445000))
    found = findings(tmp_path)
    assert "--split group" in one(found, "1 pair of tiles adjoins").repair
    tile("a3", **placed(470096, 3445000))  # half of a2
    found = findings(tmp_path)
    assert one(found, "1 pair of tiles shares ground").examples == ["a2 and a3"]
    one(found, "1 pair of tiles adjoins")


def test_names_that_may_be_regions(tile, tmp_path):
    for name in ("df1", "df2", "hz1"):
        tile(name)
    (note,) = findings(tmp_path, "note")
    assert note.what == "names begin in 2 ways: df (2), hz (1)"


def test_findings_as_text():
    long = Finding(
        "warning", "9 tiles: dark", "black", "give --rgb-scale", [f"t{i}" for i in "123456789"]
    )
    assert format_findings([long])[-7:] == [
        "  do:   give --rgb-scale",
        "  such: t1",
        "        t2",
        "        t3",
        "        t4",
        "        t5",
        "        and 4 more",
    ]


@pytest.mark.parametrize("side", [8, 32])
def test_near_duplicates_are_those_of_all_pairs_compared(side, rng):
    """The search goes coarse to fine; nothing may be lost against comparing all with all."""
    base = rng.random((12, side, side))
    noise = rng.standard_normal((24, side, side))
    noisy = [np.rot90(base[i % 12], i % 4) + 0.02 * (i % 9) * noise[i] for i in range(24)]
    thumbnails = np.array([*base, *noisy])
    expected = set()
    for i in range(36):
        for j in range(i + 1, 36):
            views = [np.rot90(m, k) for m in (thumbnails[j], thumbnails[j].T) for k in range(4)]
            r = max(np.corrcoef(thumbnails[i].ravel(), view.ravel())[0, 1] for view in views)
            if r > 0.97:
                expected.add((str(i), str(j)))
    assert 10 < len(expected) < 300
    assert set(near_duplicates([str(i) for i in range(36)], thumbnails)) == expected
