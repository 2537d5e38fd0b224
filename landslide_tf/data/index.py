"""Which files of a folder belong together: Bijie's layout, paired by stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.data.raster import SUFFIXES

KINDS = ("image", "dem", "mask")
LAYOUT = "landslide/{image,dem,mask}/NAME.* and non-landslide/{image,dem}/NAME.*"


@dataclass(frozen=True)
class Sample:
    """The files of one tile. `name` is the files' stem and unique in the index."""

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
    """Samples sorted by name, and one line for each file that does not pair."""

    root: Path
    samples: tuple[Sample, ...]
    unpaired: tuple[str, ...]


def find_samples(folder, *, negatives: bool = False, need_mask: bool = True) -> Index:
    """Pair the files below `folder`, which holds Bijie's layout, also within a folder or two.

    `negatives` adds the tiles of non-landslide/, whose mask is all background. Without
    `need_mask` (prediction), tiles need no mask. A DEM is always optional here.

    Raises:
        InputError: no such folder, no such layout, or not one complete tile.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder}: {what}; give a folder that holds {LAYOUT}")
    root = _find_root(folder)
    positive = root / "landslide" if (root / "landslide" / "image").is_dir() else root
    samples, unpaired = _pair(positive, "landslide", negative=False, need_mask=need_mask)
    if negatives:
        folder_negative = root / "non-landslide"
        if not (folder_negative / "image").is_dir():
            raise InputError(f"{root}: has no non-landslide/image; leave out --negatives")
        extra, extra_unpaired = _pair(
            folder_negative, "non-landslide", negative=True, need_mask=False
        )
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
            path
            for path in level
            if (path / "landslide" / "image").is_dir() or (path / "image").is_dir()
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


def _pair(folder: Path, label: str, *, negative: bool, need_mask: bool):
    by_kind, unpaired = {}, []
    for kind in KINDS:
        files = {}
        for path in sorted((folder / kind).glob("*")) if (folder / kind).is_dir() else []:
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            if path.stem in files:
                unpaired.append(
                    f"{label}/{kind}/{path.name}: second file of that name beside "
                    f"{files[path.stem].name}"
                )
                continue
            files[path.stem] = path
        by_kind[kind] = files
    samples = []
    for name, image in by_kind["image"].items():
        mask = by_kind["mask"].get(name)
        if need_mask and mask is None:
            unpaired.append(f"{label}/image/{image.name}: has no mask")
            continue
        samples.append(
            Sample(name, image, by_kind["dem"].get(name), mask if need_mask else None, negative)
        )
    for kind in ("dem", "mask"):
        for name, path in by_kind[kind].items():
            if name not in by_kind["image"]:
                unpaired.append(f"{label}/{kind}/{path.name}: has no image")
    return samples, unpaired
