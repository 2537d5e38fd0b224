"""Which files of a folder belong together, paired by stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.data.landslide4sense import SUFFIX as HDF5
from landslide_tf.data.raster import SUFFIXES

KINDS = ("image", "dem", "mask")
LAYOUT = "landslide/{image,dem,mask}/NAME.*, {images,dem,masks}/NAME.* or {img,mask}/*.h5"
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
    """Samples sorted by name, and one line for each file that does not pair.

    >>> index = find_samples("tiles")
    >>> len(index.samples), index.unpaired
    (12, ())
    """

    root: Path
    samples: tuple[Sample, ...]
    unpaired: tuple[str, ...]


def find_samples(folder, *, negatives: bool = False, need_mask: bool = True) -> Index:
    """Pair the files below `folder`, which holds one of the layouts, also within a folder or two.

    The layouts are Bijie's, plain folders, and Landslide4Sense's. `negatives` adds the tiles of
    non-landslide/, whose mask is all background. Without `need_mask` (prediction), tiles need no
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
    samples, unpaired = _pair(positive, root, negative=False, need_mask=need_mask)
    if negatives:
        folder_negative = root / "non-landslide"
        if not (folder_negative / "image").is_dir():
            raise InputError(f"{root}: has no non-landslide/image; leave out --negatives")
        extra, extra_unpaired = _pair(folder_negative, root, negative=True, need_mask=False)
        taken = {sample.name for sample in samples}
        samples += [
            sample
            if sample.name not in taken
            else Sample(f"non-landslide/{sample.name}", sample.image, sample.dem, None, True)
            for sample in extra
        ]
        unpaired += extra_unpaired
    if not samples:
        detail = f" ({unpaired[0]})" if unpaired else ""
        raise InputError(f"{root}: holds no complete tile{detail}; expected {LAYOUT}")
    return Index(root, tuple(sorted(samples, key=lambda s: s.name)), tuple(unpaired))


def _find_root(folder: Path) -> Path:
    # Archives often unpack to a wrapping folder or two.
    for depth in range(3):
        pattern = "/".join("*" * depth)
        level = [folder] if depth == 0 else sorted(folder.glob(pattern))
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


def _name(path: Path, kind: str) -> str:
    # Landslide4Sense: mask/mask_7.h5 belongs to img/image_7.h5
    if path.suffix.lower() == HDF5 and kind == "mask":
        return path.stem.replace("mask_", "image_", 1)
    return path.stem


def _pair(folder: Path, root: Path, *, negative: bool, need_mask: bool):
    by_kind, unpaired = {}, []
    for kind, kind_folder in _folders(folder).items():
        files = {}
        for path in sorted(kind_folder.glob("*")):
            if path.suffix.lower() not in (*SUFFIXES, HDF5) or path.name.startswith("."):
                continue
            name = _name(path, kind)
            if name in files:
                unpaired.append(
                    f"{path.relative_to(root)}: second file of that name beside {files[name].name}"
                )
                continue
            files[name] = path
        by_kind[kind] = files
    samples = []
    for name, image in by_kind["image"].items():
        mask = by_kind["mask"].get(name)
        if need_mask and mask is None:
            unpaired.append(f"{image.relative_to(root)}: has no mask")
            continue
        dem = by_kind["dem"].get(name) or (image if image.suffix.lower() == HDF5 else None)
        samples.append(Sample(name, image, dem, mask if need_mask else None, negative))
    for kind in ("dem", "mask"):
        for name, path in by_kind[kind].items():
            if name not in by_kind["image"]:
                unpaired.append(f"{path.relative_to(root)}: has no image")
    return samples, unpaired
