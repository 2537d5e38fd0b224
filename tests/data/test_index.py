"""Files are paired by stem; what does not pair is named."""

import pytest

from landslide_tf.checks import InputError
from landslide_tf.data.index import find_samples


def touch(root, *names):
    """Empty files: pairing looks at names alone."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def tile(name, base="landslide", image=".png", dem=".png", mask=".png"):
    files = {"image": image, "dem": dem, "mask": mask}
    return [f"{base}/{kind}/{name}{suffix}" for kind, suffix in files.items() if suffix]


def test_pairs_by_stem_across_suffixes(tmp_path):
    touch(tmp_path, *tile("df003", image=".jpg", dem=".tif", mask=".bmp"))
    touch(tmp_path, *tile("a.b", image=".JPEG", dem=".TIFF", mask=".PNG"))
    touch(tmp_path, *tile("hz001", dem=None))
    index = find_samples(tmp_path)
    assert [sample.name for sample in index.samples] == ["a.b", "df003", "hz001"]
    assert index.unpaired == () and index.root == tmp_path
    dotted, mixed, without = index.samples
    assert {kind: path.name for kind, path in mixed.files.items()} == {
        "image": "df003.jpg",
        "dem": "df003.tif",
        "mask": "df003.bmp",
    }
    assert dotted.image.name == "a.b.JPEG" and dotted.dem.name == "a.b.TIFF"
    assert without.dem is None and set(without.files) == {"image", "mask"}
    assert not any(sample.negative for sample in index.samples)


def test_what_does_not_pair_is_named(tmp_path):
    touch(tmp_path, *tile("good"))
    touch(tmp_path, "landslide/image/no_mask.png")
    touch(tmp_path, "landslide/mask/no_image.png", "landslide/dem/no_image.tif")
    touch(tmp_path, "landslide/image/good.tif")
    index = find_samples(tmp_path)
    assert [sample.name for sample in index.samples] == ["good"]
    assert sorted(index.unpaired) == [
        "landslide/dem/no_image.tif: has no image",
        "landslide/image/good.tif: second file of that name beside good.png",
        "landslide/image/no_mask.png: has no mask",
        "landslide/mask/no_image.png: has no image",
    ]


def test_system_and_hidden_files_are_ignored(tmp_path):
    touch(tmp_path, *tile("good"))
    for kind in ("image", "dem", "mask"):
        names = ("Thumbs.db", ".DS_Store", "._good.png", "desktop.ini", "good.png.aux.xml", "a.pgw")
        touch(tmp_path, *(f"landslide/{kind}/{name}" for name in names))
    index = find_samples(tmp_path)
    assert len(index.samples) == 1 and index.unpaired == ()


def test_rasters_of_many_formats_pair(tmp_path):
    touch(tmp_path, *tile("a", image=".jp2", dem=".asc"), *tile("b", dem=".hgt", mask=".img"))
    touch(tmp_path, *tile("c", dem=".IMG"), "landslide/dem/a.prj", "landslide/dem/c.img.aux.xml")
    touch(tmp_path, "landslide/dem/b.hdr", "landslide/image/a.j2w", "landslide/image/a.jp2.ovr")
    index = find_samples(tmp_path)
    assert [(s.image.suffix, s.dem.suffix, s.mask.suffix) for s in index.samples] == [
        (".jp2", ".asc", ".png"),
        (".png", ".hgt", ".img"),
        (".png", ".IMG", ".png"),
    ]
    assert index.unpaired == index.passed_over == ()


def test_files_that_are_passed_over_are_named_with_the_reason(tmp_path):
    touch(tmp_path, *tile("good"), "landslide/image/a.png", "landslide/mask/a.npy")
    touch(tmp_path, "landslide/mask/b.png", "landslide/image/b.heic", "landslide/mask/notes.txt")
    (tmp_path / "landslide/mask/old").mkdir()
    index = find_samples(tmp_path)
    assert sorted(index.unpaired) == [
        "landslide/image/a.png: has no mask (a.npy is of a format that is not read; write TIFF)",
        "landslide/mask/b.png: has no image (b.heic is of a format that is not read)",
    ]
    assert sorted(index.passed_over) == [
        "landslide/image/b.heic: is of a format (.heic) that is not read",
        "landslide/mask/a.npy: is of a format (.npy) that is not read",
        "landslide/mask/notes.txt: is of a format (.txt) that is not read",
        "landslide/mask/old: is a folder that is not read",
    ]
    touch(tmp_path / "b", "images/a.heic", "masks/a.png")
    check_refused(tmp_path / "b", "no complete tile", "a.heic is of a format")


@pytest.mark.parametrize("wrap", ["", "Bijie", "download/Bijie"])
def test_wrapping_folders(wrap, tmp_path):
    root = tmp_path / wrap
    touch(root, *tile("a"))
    touch(root, *tile("b", "non-landslide", mask=None))
    touch(tmp_path, "readme.txt")
    index = find_samples(tmp_path, negatives=True)
    assert index.root == root
    assert [sample.name for sample in index.samples] == ["a", "b"]


def test_a_folder_of_one_class_is_found_too(tmp_path):
    touch(tmp_path, *tile("a"))
    assert len(find_samples(tmp_path / "landslide").samples) == 1


def test_plain_folders(tmp_path):
    touch(tmp_path, "set/images/a.tif", "set/masks/a.png", "set/dem/a.tif", "set/images/b.tif")
    index = find_samples(tmp_path)
    assert index.root == tmp_path / "set"
    (sample,) = index.samples
    assert {kind: str(path.relative_to(index.root)) for kind, path in sample.files.items()} == {
        "image": "images/a.tif",
        "dem": "dem/a.tif",
        "mask": "masks/a.png",
    }
    assert index.unpaired == ("images/b.tif: has no mask",)
    with pytest.raises(InputError, match="has no non-landslide/image; leave out --negatives"):
        find_samples(tmp_path, negatives=True)


def test_landslide4sense(tmp_path):
    touch(tmp_path, "img/image_1.h5", "img/image_2.h5", "mask/mask_2.h5", "mask/mask_3.h5")
    index = find_samples(tmp_path)
    (sample,) = index.samples
    assert sample.name == "image_2" and sample.mask == tmp_path / "mask/mask_2.h5"
    assert sample.image == sample.dem == tmp_path / "img/image_2.h5"  # the DEM is a band of it
    assert index.unpaired == (
        "img/image_1.h5: has no mask",
        "mask/mask_3.h5: has no image",
    )
    assert len(find_samples(tmp_path, need_mask=False).samples) == 2


def test_negatives_are_added_only_when_asked_for(tmp_path):
    touch(tmp_path, *tile("a"), *tile("b"))
    touch(tmp_path, *tile("a", "non-landslide", mask=None))
    touch(tmp_path, *tile("c", "non-landslide", mask=None, dem=None))
    assert [sample.name for sample in find_samples(tmp_path).samples] == ["a", "b"]
    index = find_samples(tmp_path, negatives=True)
    # one of them has the name of a landslide tile
    assert {sample.name: sample.negative for sample in index.samples} == {
        "a": False,
        "b": False,
        "c": True,
        "non-landslide/a": True,
    }
    negative = next(sample for sample in index.samples if sample.name == "non-landslide/a")
    assert negative.image == tmp_path / "non-landslide/image/a.png"
    assert negative.dem == tmp_path / "non-landslide/dem/a.png" and negative.mask is None


def test_negatives_that_are_not_there(tmp_path):
    touch(tmp_path, *tile("a"))
    with pytest.raises(InputError, match="non-landslide/image.*--negatives"):
        find_samples(tmp_path, negatives=True)


def test_prediction_needs_no_masks(tmp_path):
    touch(tmp_path, *tile("a", mask=None), *tile("b"))
    index = find_samples(tmp_path, need_mask=False)
    assert [sample.name for sample in index.samples] == ["a", "b"]
    assert index.unpaired == ()
    assert all(sample.mask is None for sample in index.samples)
    with pytest.raises(InputError, match="no complete tile"):
        touch(tmp_path / "other", *tile("a", mask=None))
        find_samples(tmp_path / "other")


def check_refused(folder, *parts):
    with pytest.raises(InputError) as error:
        find_samples(folder)
    message = str(error.value)
    assert str(folder) in message and "\n" not in message
    for part in parts:
        assert part in message


def test_folders_that_hold_no_tiles(tmp_path):
    check_refused(tmp_path / "missing", "does not exist", "landslide/{image,dem,mask}")
    touch(tmp_path, "file")
    check_refused(tmp_path / "file", "is not a folder")
    (tmp_path / "empty").mkdir()
    check_refused(tmp_path / "empty", "holds no tiles", "landslide/{image,dem,mask}")
    (tmp_path / "layout/landslide/image").mkdir(parents=True)
    check_refused(tmp_path / "layout", "no complete tile")
    touch(tmp_path / "deep", *tile("a", "1/2/3/landslide"))
    check_refused(tmp_path / "deep", "holds no tiles")


def test_no_pair_at_all_names_a_file(tmp_path):
    touch(tmp_path, "landslide/image/a.png", "landslide/mask/b.png")
    check_refused(tmp_path, "no complete tile", "landslide/image/a.png: has no mask")


def test_several_data_sets_are_refused(tmp_path):
    touch(tmp_path, *tile("a", "one/landslide"), *tile("a", "two/landslide"))
    check_refused(tmp_path, "several data sets", "one", "two")


def test_one_name_in_two_spellings_of_its_umlaut(tmp_path):
    composed, apart = "G\u00e4", "Ga\u0308"
    touch(tmp_path, *tile(composed, mask=None), f"landslide/mask/{apart}.png")
    (sample,) = find_samples(tmp_path).samples
    assert sample.name == composed and sample.mask.name == f"{apart}.png"
    touch(tmp_path, f"landslide/image/{apart}.tif")
    assert "second file of that name" in find_samples(tmp_path).unpaired[0]


@pytest.mark.parametrize("left", ["__MACOSX/data/tiles", ".Trash-1000/tiles", "data/.old"])
def test_what_systems_leave_behind_is_no_data_set(left, tmp_path):
    touch(tmp_path / "data/tiles", *tile("good"), "landslide/image/good.png:Zone.Identifier")
    touch(tmp_path / left, *tile("._good"))
    index = find_samples(tmp_path)
    assert index.root == tmp_path / "data/tiles" and index.passed_over == ()
