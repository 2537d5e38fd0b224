"""Which files of a folder belong together, paired by stem."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.data.landslide4sense import SUFFIX as HDF5
from landslide_tf.data.opening import SUFFIXES

KINDS = ("image", "dem", "mask")
LAYOUT = "landslide/{image,dem,mask}/NAME.*, {images,dem,masks}/NAME.* or {img,mask}/*.h5"
# Side files of rasters (world files, statistics) and files that systems leave behind: ignored.
SIDECARS = (".xml", ".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".bpw", ".bmpw",
            ".wld", ".j2w", ".ovr", ".msk", ".prj", ".hdr", ".aux", ".rrd", ".stx", ".clr",
            ".sgrd", ".mgrd", ".db", ".ini", ".identifier")  # fmt: skip
KNOWN = {*SUFFIXES, HDF5}
FOLDERS = (  # names of the folders of images, DEMs and masks, by layout
    ("image", "dem", "mask"),  # Bijie: within landslide/ and non-landslide/
    ("images", "dem", "masks"),
    ("img", "dem", "mask"),  # Landslide4Sense: HDF5, the DEM is a band of the image
)


@dataclass(frozen=True)
class Sample:
    """The files of one tile. `name` is the image's stem and unique in the index.

    >>> sample = find_samples("tiles").samples[0]
    >>> sample.name, list(sample.files)
    ('a000', ['image', 'dem', 'mask'])
    """

    name: str
    image: Path
    dem: Path | None
    mask: Path | None  # None for tiles without landslide, and where masks are not asked for
    negative: bool = False

    @property
    def files(self) -> dict[str, Path]:
        """The files that exist, by kind."""
        return {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None}


@dataclass(frozen=True)
class Index:
    """Samples sorted by name, and one line for each file that has no partner or is passed over.

    Files in formats that are not read are passed over. Side files of an image, such as a world
    file, are not listed.

    >>> index = find_samples("tiles")
    >>> len(index.samples), index.unpaired, index.passed_over
    (12, (), ())
    """

    root: Path
    samples: tuple[Sample, ...]
    unpaired: tuple[str, ...]
    passed_over: tuple[str, ...] = ()


def find_samples(folder, *, negatives: bool | None = False, need_mask: bool = True) -> Index:
    """Pair the image, DEM and mask files of a data set by their names; returns an `Index`.

    `folder` has one of the layouts (Bijie's, plain folders, or Landslide4Sense's), directly or one
    or two folders below. `negatives` adds the tiles of non-landslide/, whose mask is all
    background; None adds them where there are any. Without `need_mask` (prediction), tiles need no
    mask. A DEM is always optional here.

    Raises:
        InputError: no such folder, no such layout, or not one complete tile.

    >>> [sample.name for sample in find_samples("tiles").samples[:3]]
    ['a000', 'a002', 'a004']
    >>> find_samples("no-such-folder")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: no-such-folder: does not exist; give a folder that holds ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder}: {what}; give a folder that holds {LAYOUT}")
    root = _find_root(folder)
    positive = root / "landslide" if (root / "landslide" / "image").is_dir() else root
    folder_negative = root / "non-landslide"
    has_negatives = (folder_negative / "image").is_dir()
    if negatives and not has_negatives:
        raise InputError(f"{root}: has no non-landslide/image; leave out --negatives")
    samples, unpaired, passed_over = _pair(positive, root, negative=False, need_mask=need_mask)
    if has_negatives and negatives is not False:
        extra, extra_unpaired, extra_passed = _pair(
            folder_negative, root, negative=True, need_mask=False
        )
        taken = {sample.name for sample in samples}
        for sample in extra:
            if sample.name in taken:
                sample = dataclasses.replace(sample, name=f"non-landslide/{sample.name}")
            samples.append(sample)
        unpaired += extra_unpaired
        passed_over += extra_passed
    if not samples:
        first = (unpaired + passed_over)[:1]
        detail = f" ({first[0]})" if first else ""
        raise InputError(f"{root}: holds no complete tile{detail}; expected {LAYOUT}")
    samples = tuple(sorted(samples, key=lambda s: s.name))
    return Index(root, samples, tuple(unpaired), tuple(passed_over))


def _find_root(folder: Path) -> Path:
    # Archives often unpack to a wrapping folder or two.
    for depth in range(3):
        pattern = "/".join("*" * depth)
        level = [folder] if depth == 0 else sorted(folder.glob(pattern))
        # what systems leave behind: rubbish bins, and the shadows of a Mac's archive
        level = [
            path
            for path in level
            if not any(p.startswith((".", "__MACOSX")) for p in path.relative_to(folder).parts)
        ]
        found = [
            path for path in level if _folders(path) or (path / "landslide" / "image").is_dir()
        ]
        if depth and any(path.name in ("landslide", "non-landslide") for path in found):
            continue  # the layout's own folders, not a wrapping one
        if len(found) > 1:
            raise InputError(
                f"{folder}: holds several data sets ({found[0]}, {found[1]}); give one"
            )
        if found:
            return found[0]
    raise InputError(f"{folder}: holds no tiles; expected {LAYOUT}")


def _folders(path: Path) -> dict[str, Path] | None:
    """The folders of a layout by kind, if `path` holds one."""
    for names in FOLDERS:
        if (path / names[0]).is_dir():
            return {kind: path / name for kind, name in zip(KINDS, names, strict=True)}
    return None


def _pair(folder: Path, root: Path, *, negative: bool, need_mask: bool):
    """Samples, lines about files that do not pair, lines about files of other formats."""
    by_kind, unpaired, passed_over = {}, [], []
    others: dict[str, dict[str, Path]] = {}  # files of other formats by kind and stem
    for kind, kind_folder in _folders(folder).items():
        files, others[kind] = {}, {}
        # Strings take a tenth of the time of `Path` objects, which matters for 100,000 files.
        for file in sorted(os.listdir(kind_folder)) if kind_folder.is_dir() else []:
            stem, suffix = os.path.splitext(file)
            stem = unicodedata.normalize("NFC", stem)  # a Mac writes an umlaut as two characters
            suffix = suffix.lower()
            if file.startswith(".") or suffix in SIDECARS:
                continue
            path = kind_folder / file
            if suffix not in KNOWN:
                what = "a folder" if path.is_dir() else f"of a format ({suffix or 'no suffix'})"
                passed_over.append(f"{path.relative_to(root)}: is {what} that is not read")
                others[kind][stem] = path
                continue
            if suffix == HDF5 and kind == "mask":  # Landslide4Sense: mask_7.h5 is of image_7.h5
                stem = stem.replace("mask_", "image_", 1)
            if stem in files:
                unpaired.append(
                    f"{path.relative_to(root)}: second file of that name beside {files[stem].name}"
                )
                continue
            files[stem] = path
        by_kind[kind] = files
    samples = []
    for stem, image in by_kind["image"].items():
        mask = by_kind["mask"].get(stem)
        if need_mask and mask is None:
            other = others["mask"].get(stem)
            why = f" ({other.name} is of a format that is not read; write TIFF)" if other else ""
            unpaired.append(f"{image.relative_to(root)}: has no mask{why}")
            continue
        dem = by_kind["dem"].get(stem) or (image if image.suffix.lower() == HDF5 else None)
        name = os.path.splitext(image.name)[0]
        samples.append(Sample(name, image, dem, mask if need_mask else None, negative))
    for kind in ("dem", "mask"):
        for name, path in by_kind[kind].items():
            if name not in by_kind["image"]:
                other = others["image"].get(name)
                why = f" ({other.name} is of a format that is not read)" if other else ""
                unpaired.append(f"{path.relative_to(root)}: has no image{why}")
    return samples, unpaired, passed_over
