"""What a folder of tiles holds, and what is wrong or odd about it: the report of `data check`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import multiprocessing
import os
import re
import signal
import sys
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError, JobError
from landslide_tf.console import progress_bar
from landslide_tf.data.alignment import alignment_warnings, looked_at, mask_fit
from landslide_tf.data.findings import find_all, format_findings
from landslide_tf.data.index import Index, Sample, find_samples
from landslide_tf.data.near_duplicates import near_duplicates
from landslide_tf.data.opening import strictly
from landslide_tf.data.plausible import tile_warnings, without_numbers
from landslide_tf.data.raster import Raster
from landslide_tf.data.tile import place_of, read_rasters
from landslide_tf.inputs.spec import InputSpec

THUMBNAIL_PX = 32
MANY = 2000  # tiles that are worth processes of their own


def check_folder(folder, *, processes: int = 1, **options) -> dict:
    """Counts, sizes, value ranges and problems of a folder of tiles.

    Reads every file, with the `options` of `TrainConfig` that concern reading: `nodata`,
    `rgb_scale`, `bands`. Thousands of tiles are read by `processes` of their own; a script that
    asks for them must begin under `if __name__ == "__main__":`.

    Returns:
        `root`, `landslide_tiles`, `negative_tiles`, `with_dem`, `georeferenced`, `crs` (tiles by
        its name), `resolution_m` (lowest and highest, or None), `rasters` (by kind: types, height
        and width range, value range, share of valid pixels),
        `positive_share_mean` (over tiles), `positive_share_pooled` (over pixels of the masks at
        their own size), `empty_masks`, `unpaired`, `passed_over` and `unreadable` (a line each),
        `copies` (lists of names of tiles with the same image), `near_duplicates` (pairs of names;
        of copies the first), `misplaced` (a warning where masks look turned or shifted),
        and `findings` (what is wrong or odd, worst first; see `Finding`).

    Raises:
        InputError: no such folder, or not one complete tile in it.
        JobError: one of the processes died.

    >>> report = check_folder("tiles")
    >>> report["landslide_tiles"], report["with_dem"], report["unreadable"]
    (12, 12, [])
    """
    spec = InputSpec(tile_px=THUMBNAIL_PX, fusion="rgb", **options)
    index = _find(folder)
    rasters = {kind: _Summary() for kind in ("image", "dem", "mask")}
    unreadable, tiles, images, fits = [], [], defaultdict(list), []
    thumbnails = np.empty((len(index.samples), THUMBNAIL_PX, THUMBNAIL_PX), "float16")
    odd: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for found in _look_at_all(index.samples, spec, processes):
        if isinstance(found, str):
            unreadable.append(found)
            continue
        tile, thumbnail, digest, warnings, fit = found
        thumbnails[len(tiles)] = thumbnail
        images[digest].append(len(tiles))
        tiles.append(tile)
        fits.append(fit)
        for kind, facts in tile.rasters.items():
            rasters[kind].add(facts)
        for line in warnings:  # one group, whatever the numbers are
            odd[without_numbers(line)].append((tile.name, line))
    names = [tile.name for tile in tiles]
    alone = [same[0] for same in images.values()]  # of copies, one is compared
    masks = [tile.rasters["mask"].positive for tile in tiles if "mask" in tile.rasters]
    shares = [positive / max(1, pixels) for positive, pixels in masks]
    pixels = sum(pixels for _, pixels in masks)
    report = {
        "root": str(index.root),
        "landslide_tiles": sum(not sample.negative for sample in index.samples),
        "negative_tiles": sum(sample.negative for sample in index.samples),
        "with_dem": sum(sample.dem is not None for sample in index.samples),
        "georeferenced": sum(tile.place is not None for tile in tiles),
        "crs": dict(Counter(tile.crs for tile in tiles if tile.crs).most_common()),
        "resolution_m": _extremes([tile.resolution_m for tile in tiles if tile.resolution_m]),
        "rasters": {kind: summary.result() for kind, summary in rasters.items() if summary.count},
        "positive_share_mean": float(np.mean(shares)) if shares else float("nan"),
        "positive_share_pooled": sum(p for p, _ in masks) / pixels if pixels else float("nan"),
        "empty_masks": sum(share == 0 for share in shares),
        "unpaired": list(index.unpaired),
        "passed_over": list(index.passed_over),
        "unreadable": unreadable,
        "misplaced": alignment_warnings(fits),
        "copies": [[names[i] for i in same] for same in images.values() if len(same) > 1],
        "near_duplicates": near_duplicates([names[i] for i in alone], _rows(thumbnails, alone)),
    }
    report["findings"] = find_all(report, tiles, index.samples, odd)
    return report


def _extremes(values) -> list[float] | None:
    return [min(values), max(values)] if values else None


def _rows(array: np.ndarray, numbers: list[int]) -> np.ndarray:
    """Rows of an array, in order; without a copy where they are all."""
    return array[: len(numbers)] if numbers == list(range(len(numbers))) else array[numbers]


def _look_at_all(samples, spec: InputSpec, processes: int):
    """`_look` at each sample, in order, with a bar of progress."""
    drawn = [i for i, sample in enumerate(samples) if sample.mask is not None]
    chosen = {drawn[i] for i in looked_at(len(drawn))}
    look = functools.partial(_look, spec)
    work = samples, [i in chosen for i in range(len(samples))]
    bar = functools.partial(progress_bar, desc="checking", total=len(samples), unit="tile")
    if processes > 1 and len(samples) >= MANY:
        # 'spawn': a process that has started threads, as TensorFlow's, must not be forked
        pool = ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), signal.signal,
            (signal.SIGINT, signal.SIG_IGN),
        )  # fmt: skip
        try:
            with pool:
                yield from bar(pool.map(look, *work, chunksize=100))
        except BrokenProcessPool:
            raise JobError(
                "a process that read tiles died, for want of memory or by the system"
            ) from None
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # GDAL and NumPy release the lock
            yield from bar(pool.map(look, *work))


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


@dataclasses.dataclass(frozen=True, slots=True)
class _Facts:
    """What is kept of one raster."""

    kind: str  # type and bands
    size: tuple[int, int]
    values: tuple[float, float] | None
    valid_share: float
    positive: tuple[int, int]  # pixels above 0, valid pixels


@dataclasses.dataclass(frozen=True, slots=True)
class _Tile:
    """What is kept of one tile."""

    name: str
    rasters: dict[str, _Facts]
    place: tuple[float, float, float] | None
    crs: str | None  # its name
    resolution_m: float | None


def _look(spec: InputSpec, sample: Sample, judge: bool):
    """Read one tile: what is kept of it, its thumbnail, a digest of its image, what is odd about
    it, and, if it is to be judged by, how its mask fits. Or the line that refuses it."""
    try:
        with strictly():
            image, dem, mask = read_rasters(sample, spec)
        rasters = {"image": image, "dem": dem, "mask": mask}
        wkt = image.crs.to_wkt() if image.crs else None
        tile = _Tile(
            sample.name,
            {kind: _facts(raster) for kind, raster in rasters.items() if raster is not None},
            place_of(image),
            sys.intern(re.search(r'"(.*?)"', wkt).group(1)) if wkt else None,
            _pixel_m(image, wkt),
        )
        scaled = dataclasses.replace(image, scale=spec.rgb_scale or image.scale)
        fit = mask_fit(image.values, mask.values[..., 0], image.valid) if judge else None
        digest = hashlib.blake2b(np.ascontiguousarray(image.values), digest_size=16).digest()
        return tile, _thumbnail(image), digest, tile_warnings(scaled, dem, mask), fit
    except InputError as error:
        return str(error)


_METRES: dict[tuple, float | None] = {}  # some CRS take a quarter of a second to ask


def _pixel_m(image: Raster, wkt: str | None) -> float | None:
    if wkt is None or image.transform is None:
        return None
    key = (wkt, *np.round(np.array(image.transform)[[0, 1, 3, 4]], 9).tolist())
    if key not in _METRES:
        _METRES[key] = None  # a CRS of no known unit
        with contextlib.suppress(Exception):
            _METRES[key] = float(np.mean(image.resolution_m()))
    return _METRES[key]


def _thumbnail(image: Raster) -> np.ndarray:
    """(S, S) float16, grey, 0 where there is no data; brightness has no unit."""
    import cv2

    values = image.values.astype("float32")
    grey = np.where(image.valid, values.mean(axis=-1), 0)
    grey /= max(float(np.abs(grey).max()), 1e-30)  # float16 ends at 65504
    small = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return small.astype("float16")


def _facts(raster: Raster) -> _Facts:
    values, count = raster.values, raster.valid.size
    known = int(np.count_nonzero(raster.valid))
    if known < count:
        values = values[raster.valid]
    labels = values[..., 0]
    return _Facts(
        sys.intern(f"{raster.values.dtype} x {raster.values.shape[-1]}"),
        raster.size,
        (float(values.min()), float(values.max())) if known else None,
        known / count,
        (int(np.count_nonzero(labels > 0)), known),
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
        said = "read as" if kind == "mask" else "values"
        lines.append(
            f"  {kind:<6}{types}; {_range(r['height_px'])} x {_range(r['width_px'])} px; "
            f"{said} {r['values'][0]:g} to {r['values'][1]:g}; {r['valid_share']:.1%} valid"
        )
    if report["crs"]:
        names = ", ".join(f"{name} ({count})" for name, count in report["crs"].items())
        metres = report["resolution_m"]
        metres = [f"{value:.3g}" for value in metres] if metres else ["?", "?"]
        lines.append(f"  ground {names}; {_range(metres)} m a pixel")
    if "mask" in report["rasters"]:
        lines.append(
            f"  landslide: {report['positive_share_mean']:.1%} of a tile on average, "
            f"{report['positive_share_pooled']:.1%} of all pixels, {report['empty_masks']} masks "
            "empty"
        )
    return "\n".join([*lines, *format_findings(report["findings"])])


def _range(pair) -> str:
    return f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]} to {pair[1]}"
