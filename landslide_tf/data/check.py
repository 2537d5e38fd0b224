"""What a folder of tiles holds, and what is wrong or odd about it: the report of `data check`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data.findings import find_all, format_findings
from landslide_tf.data.index import Index, Sample, find_samples
from landslide_tf.data.plausible import without_numbers
from landslide_tf.data.tile import read_file, read_tile
from landslide_tf.inputs.spec import InputSpec

THUMBNAIL_PX = 32
SAME_FROM = 0.97  # correlation of two thumbnails from which tiles count as near-duplicates
COARSE_PX = 8  # thumbnails are compared at this size first
CHUNK = 512
MAX_PAIRS = 100_000  # a folder with more near-duplicates needs no longer list


def check_folder(folder, **options) -> dict:
    """Counts, sizes, value ranges and problems of a folder of tiles.

    Reads every file, with the `options` of `TrainConfig` that concern reading: `nodata`,
    `rgb_scale`, `bands`. Keys: `root`, `landslide_tiles`, `negative_tiles`, `with_dem`,
    `georeferenced`, `rasters` (by kind: types, height and width range, value range, share of
    valid pixels), `positive_share_mean` (over tiles), `positive_share_pooled` (over pixels of
    the masks at their own size), `empty_masks`, `unpaired` and `unreadable` (a line each),
    `copies` (lists of names of tiles with the same image), `near_duplicates` (pairs of names),
    and `findings` (what is wrong or odd, worst first; see `Finding`).

    Raises:
        InputError: no such folder, or not one complete tile in it.

    >>> report = check_folder("tiles")
    >>> report["landslide_tiles"], report["with_dem"], report["unreadable"]
    (12, 12, [])
    """
    from tqdm import tqdm

    spec = InputSpec(tile_px=THUMBNAIL_PX, fusion="rgb", **options)
    index = _find(folder)
    rasters = {kind: _Summary() for kind in ("image", "dem", "mask")}
    unreadable, tiles, images = [], [], defaultdict(list)
    odd: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # GDAL and NumPy release the lock
        metres: dict = {}
        looked = pool.map(lambda sample: _look(sample, spec, metres), index.samples)
        count = len(index.samples)
        for found in tqdm(looked, "checking", total=count, unit="tile", disable=None):
            if isinstance(found, str):
                unreadable.append(found)
                continue
            tiles.append(found)
            images[found.digest].append(found.name)
            for kind, facts in found.rasters.items():
                rasters[kind].add(facts)
            for line in found.warnings:  # one group, whatever the numbers are
                odd[without_numbers(line)].append((found.name, line))
    names = [tile.name for tile in tiles]
    thumbnails = np.array([tile.thumbnail for tile in tiles]) if tiles else np.zeros((0, 1, 1))
    copies = [same for same in images.values() if len(same) > 1]
    known = {frozenset(pair) for same in copies for pair in zip(same, same[1:], strict=False)}
    masks = [tile.rasters["mask"].positive for tile in tiles if "mask" in tile.rasters]
    shares = [positive / max(1, pixels) for positive, pixels in masks]
    pixels = sum(pixels for _, pixels in masks)
    report = {
        "root": str(index.root),
        "landslide_tiles": sum(not sample.negative for sample in index.samples),
        "negative_tiles": sum(sample.negative for sample in index.samples),
        "with_dem": sum(sample.dem is not None for sample in index.samples),
        "georeferenced": sum(tile.place is not None for tile in tiles),
        "rasters": {kind: summary.result() for kind, summary in rasters.items() if summary.count},
        "positive_share_mean": float(np.mean(shares)) if shares else float("nan"),
        "positive_share_pooled": sum(p for p, _ in masks) / pixels if pixels else float("nan"),
        "empty_masks": sum(share == 0 for share in shares),
        "unpaired": list(index.unpaired),
        "unreadable": unreadable,
        "copies": copies,
        "near_duplicates": [
            pair for pair in near_duplicates(names, thumbnails) if frozenset(pair) not in known
        ],
    }
    report["findings"] = find_all(report, tiles, index.samples, odd)
    return report


def _find(folder) -> Index:
    """The tiles of a folder, with those of non-landslide/ where there are any."""
    try:
        return find_samples(folder, negatives=True)
    except InputError:  # most sets have no non-landslide/
        return find_samples(folder)


def tile_files(data) -> list[Path]:
    """The files that the tiles in `data` are read from: of a folder of tiles, or a pack itself.

    Raises:
        InputError: no such folder, or not one complete tile in it.

    >>> len(tile_files("tiles"))  # images, DEMs and masks of twelve tiles
    36
    """
    if os.path.isfile(data):
        return [Path(data)]
    try:
        samples = _find(data).samples
    except InputError:  # prediction needs no masks
        samples = find_samples(data, need_mask=False).samples
    return [path for sample in samples for path in sample.files.values()]


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What is kept of one raster."""

    kind: str  # type and bands
    size: tuple[int, int]
    values: tuple[float, float] | None
    valid_share: float
    positive: tuple[int, int]  # pixels above 0, valid pixels


@dataclasses.dataclass(frozen=True)
class _Tile:
    """What is kept of one tile."""

    name: str
    rasters: dict[str, _Facts]
    place: tuple[float, float, float] | None
    crs: str | None  # its name
    resolution_m: float | None
    digest: str  # of the image's pixels
    thumbnail: np.ndarray  # (S, S) float16, grey
    warnings: list[str]


def _look(sample: Sample, spec: InputSpec, metres: dict) -> _Tile | str:
    """Read one tile; the line that `train` would refuse it with where it cannot be used.

    `metres` keeps what a pixel measures, because some CRS take a quarter of a second to ask.
    """
    try:
        tile, place = read_tile(sample, spec)
        rasters = {kind: read_file(sample, kind, spec) for kind in sample.files}
        image = rasters["image"]
        wkt, key = image.crs.to_wkt() if image.crs else None, None
        if wkt and image.transform is not None:
            key = (wkt, *np.round(np.array(image.transform)[[0, 1, 3, 4]], 9))
            if key not in metres:
                metres[key] = None  # a CRS of no known unit
                with contextlib.suppress(Exception):
                    metres[key] = float(np.mean(image.resolution_m()))
        return _Tile(
            sample.name,
            {kind: _facts(raster) for kind, raster in rasters.items()},
            place,
            re.search(r'"(.*?)"', wkt).group(1) if wkt else None,
            metres.get(key),
            hashlib.sha256(np.ascontiguousarray(image.values)).hexdigest(),
            tile.rgb.mean(axis=-1).astype("float16"),
            list(tile.warnings),
        )
    except InputError as error:
        return str(error)
    except UnicodeEncodeError as error:  # GDAL knows names in UTF-8 alone
        return f"{error.object}: the name is not in UTF-8; rename the file or folder"


def _facts(raster) -> _Facts:
    values = raster.values[raster.valid]
    return _Facts(
        f"{raster.values.dtype} x {raster.values.shape[-1]}",
        raster.size,
        (float(values.min()), float(values.max())) if values.size else None,
        float(raster.valid.mean()),
        (int((values[:, 0] > 0).sum()), len(values)),
    )


class _Summary:
    """Running description of the rasters of one kind."""

    def __init__(self):
        self.count, self.types, self.heights, self.widths = 0, Counter(), [], []
        self.low, self.high, self.valid_shares = np.inf, -np.inf, []

    def add(self, facts: _Facts) -> None:
        self.count += 1
        self.types[facts.kind] += 1
        self.heights.append(facts.size[0])
        self.widths.append(facts.size[1])
        if facts.values:
            self.low, self.high = min(self.low, facts.values[0]), max(self.high, facts.values[1])
        self.valid_shares.append(facts.valid_share)

    def result(self) -> dict:
        return {
            "files": self.count,
            "types": dict(self.types),
            "height_px": [min(self.heights), max(self.heights)],
            "width_px": [min(self.widths), max(self.widths)],
            "values": [float(self.low), float(self.high)],
            "valid_share": float(np.mean(self.valid_shares)),
        }


def near_duplicates(names: list[str], thumbnails) -> list[tuple[str, str]]:
    """Pairs of tiles that look alike, also when one is flipped, turned, brighter or darker.

    `thumbnails` is (N, S, S), grey. Two tiles are alike when their thumbnails, each less its mean
    and divided by its deviation, correlate above 0.97 in one of the eight orientations. Flat
    tiles, which say nothing, are left out. The list ends after about 100,000 pairs.

    >>> a = np.random.default_rng(0).random((8, 8))
    >>> near_duplicates(["a", "b", "c"], np.array([a, 0.5 * np.rot90(a), a**5]))
    [('a', 'b')]
    """
    thumbnails, count = np.asarray(thumbnails), len(names)
    if count == 0:
        return []
    side = thumbnails.shape[1]
    block = side // COARSE_PX if side % COARSE_PX == 0 else 1
    coarse = np.zeros((count, side // block, side // block), "float32")
    for start in range(0, count, CHUNK):
        unit = _unit(thumbnails[start : start + CHUNK])
        shape = (len(unit), side // block, block, side // block, block)
        coarse[start : start + CHUNK] = unit.reshape(shape).sum(axis=(2, 4)) / block
    rows = coarse.reshape(count, -1)
    lengths = (rows**2).sum(axis=1)
    pairs: set[tuple[int, int]] = set()
    for flip in (False, True):
        for turns in range(4):
            moved = _orient(coarse, flip, turns).reshape(count, -1)
            for start in range(0, count, CHUNK):  # a block of the upper half of the N x N table
                near = rows[start : start + CHUNK] @ moved[start:].T
                # Averaging over blocks brings no two thumbnails further apart, and two units that
                # correlate by r are sqrt(2 - 2 r) apart.
                apart = lengths[start : start + CHUNK, None] + lengths[None, start:] - 2 * near
                seen = lengths[start : start + CHUNK, None] > 0
                i, j = np.nonzero((apart < 2 - 2 * SAME_FROM + 1e-4) & seen)
                i, j = start + i[i < j], start + j[i < j]
                for k in range(0, len(i), CHUNK):
                    a, b = i[k : k + CHUNK], j[k : k + CHUNK]
                    turned = _orient(_unit(thumbnails[b]), flip, turns)
                    alike = (_unit(thumbnails[a]) * turned).sum(axis=(1, 2)) > SAME_FROM
                    pairs.update(zip(a[alike].tolist(), b[alike].tolist(), strict=True))
                    if len(pairs) > MAX_PAIRS:
                        break
    return [(names[i], names[j]) for i, j in sorted(pairs)]


def _orient(images: np.ndarray, flip: bool, turns: int) -> np.ndarray:
    return np.rot90(images[:, :, ::-1] if flip else images, turns, axes=(1, 2))


def _unit(thumbnails) -> np.ndarray:
    """Thumbnails less their mean, of length 1 each; flat ones are 0."""
    centred = thumbnails.astype("float64")
    centred -= centred.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    flat = norm < 1e-3 * centred.shape[1]
    return np.where(flat, 0, centred / np.maximum(norm, 1e-12)).astype("float32")


def format_report(report: dict) -> str:
    """The report of `check_folder` as text for the terminal.

    >>> print(format_report(check_folder("tiles")))
    tiles: 12 landslide tiles, 0 without landslide, 12 with a DEM, 0 georeferenced
      image uint8 x 3 (12); 32 x 32 px; values 40 to 209; 100.0% valid
      dem   uint8 x 1 (12); 32 x 32 px; values 0 to 200; 100.0% valid
    ...
    """
    lines = [
        f"{report['root']}: {report['landslide_tiles']} landslide tiles, "
        f"{report['negative_tiles']} without landslide, {report['with_dem']} with a DEM, "
        f"{report['georeferenced']} georeferenced"
    ]
    for kind, r in report["rasters"].items():
        types = ", ".join(f"{name} ({count})" for name, count in r["types"].items())
        lines.append(
            f"  {kind:<6}{types}; {_range(r['height_px'])} x {_range(r['width_px'])} px; "
            f"values {r['values'][0]:g} to {r['values'][1]:g}; {r['valid_share']:.1%} valid"
        )
    lines.append(
        f"  landslide: {report['positive_share_mean']:.1%} of a tile on average, "
        f"{report['positive_share_pooled']:.1%} of all pixels, {report['empty_masks']} masks empty"
    )
    return "\n".join([*lines, *format_findings(report["findings"])])


def _range(pair) -> str:
    return f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]} to {pair[1]}"
