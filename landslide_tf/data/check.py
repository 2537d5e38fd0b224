"""What a folder of tiles holds: the report of `data check`."""

from __future__ import annotations

from collections import Counter

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data.index import find_samples
from landslide_tf.data.tile import read_file, read_tile
from landslide_tf.inputs.spec import InputSpec

THUMBNAIL_PX = 32
SAME_FROM = 0.97  # correlation of two thumbnails from which tiles count as near-duplicates
CHUNK = 512


def check_folder(folder, **options) -> dict:
    """Counts, sizes, value ranges and problems of a folder of tiles.

    Reads every file, with the `options` of `TrainConfig` that concern reading: `nodata`,
    `rgb_scale`, `bands`. Keys: `root`, `landslide_tiles`, `negative_tiles`, `with_dem`,
    `georeferenced`, `rasters` (by kind: types, height and width range, value range, share of
    valid pixels), `positive_share_mean` (over tiles), `positive_share_pooled` (over pixels of
    the masks at their own size), `empty_masks`, `unpaired` and `unreadable` (a line each),
    `near_duplicates` (pairs of names).

    Raises:
        InputError: no such folder, or not one complete tile in it.

    >>> report = check_folder("tiles")
    >>> report["landslide_tiles"], report["with_dem"], report["unreadable"]
    (12, 12, [])
    """
    spec = InputSpec(tile_px=THUMBNAIL_PX, fusion="rgb", **options)
    with_negatives = True
    try:
        index = find_samples(folder, negatives=True)
    except InputError:  # most sets have no non-landslide/
        with_negatives = False
        index = find_samples(folder)
    rasters = {kind: _Summary() for kind in ("image", "dem", "mask")}
    unreadable, names, thumbnails = [], [], []
    shares, positive_px, mask_px, georeferenced = [], 0, 0, 0
    for sample in index.samples:
        try:
            tile, place = read_tile(sample, spec)
            for kind in sample.files:
                rasters[kind].add(read_file(sample, kind, spec))
        except InputError as error:
            unreadable.append(str(error))
            continue
        names.append(sample.name)
        thumbnails.append(tile.rgb.mean(axis=-1))
        georeferenced += place is not None
        if sample.mask is not None:
            positive, pixels = rasters["mask"].last_positive
            shares.append(positive / max(1, pixels))
            positive_px, mask_px = positive_px + positive, mask_px + pixels
    return {
        "root": str(index.root),
        "landslide_tiles": sum(not sample.negative for sample in index.samples),
        "negative_tiles": sum(s.negative for s in index.samples) if with_negatives else 0,
        "with_dem": sum(sample.dem is not None for sample in index.samples),
        "georeferenced": georeferenced,
        "rasters": {kind: summary.result() for kind, summary in rasters.items() if summary.count},
        "positive_share_mean": float(np.mean(shares)) if shares else float("nan"),
        "positive_share_pooled": positive_px / mask_px if mask_px else float("nan"),
        "empty_masks": sum(share == 0 for share in shares),
        "unpaired": list(index.unpaired),
        "unreadable": unreadable,
        "near_duplicates": near_duplicates(names, np.array(thumbnails)) if names else [],
    }


class _Summary:
    """Running description of the rasters of one kind."""

    def __init__(self):
        self.count, self.types, self.heights, self.widths = 0, Counter(), [], []
        self.low, self.high, self.valid_shares = np.inf, -np.inf, []
        self.last_positive = (0, 0)

    def add(self, raster) -> None:
        self.count += 1
        self.types[f"{raster.values.dtype} x {raster.values.shape[-1]}"] += 1
        self.heights.append(raster.size[0])
        self.widths.append(raster.size[1])
        values = raster.values[raster.valid]
        if values.size:
            self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
        self.valid_shares.append(raster.valid.mean())
        self.last_positive = (int((values[:, 0] > 0).sum()), len(values))

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
    tiles, which say nothing, are left out.

    >>> a = np.random.default_rng(0).random((8, 8))
    >>> near_duplicates(["a", "b", "c"], np.array([a, 0.5 * np.rot90(a), a**5]))
    [('a', 'b')]
    """
    thumbnails = np.asarray(thumbnails, "float64")
    count = len(thumbnails)
    centred = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    flat = norm[:, 0, 0] < 1e-3 * thumbnails.shape[1]
    unit = (centred / np.maximum(norm, 1e-12)).astype("float32")
    unit[flat] = 0
    rows = unit.reshape(count, -1)
    pairs = set()
    for flip in (False, True):
        for turns in range(4):
            moved = np.rot90(unit[:, :, ::-1] if flip else unit, turns, axes=(1, 2))
            moved = moved.reshape(count, -1)
            for start in range(0, count, CHUNK):  # a block of the N x N table at a time
                alike = rows[start : start + CHUNK] @ moved.T > SAME_FROM
                for i, j in np.argwhere(alike):
                    if start + i < j:
                        pairs.add((start + int(i), int(j)))
    return [(names[i], names[j]) for i, j in sorted(pairs)]


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
    for title, key in (
        ("do not pair", "unpaired"),
        ("cannot be used", "unreadable"),
        ("near-duplicate tiles (keep them in one part of a split)", "near_duplicates"),
    ):
        problems = report[key]
        lines.append(f"  {title}: {len(problems) or 'none'}")
        lines += [f"    {p if isinstance(p, str) else ' ~ '.join(p)}" for p in problems[:20]]
        if len(problems) > 20:
            lines.append(f"    … and {len(problems) - 20} more")
    return "\n".join(lines)


def _range(pair) -> str:
    return f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]}–{pair[1]}"
