"""What a folder of tiles holds, and what is wrong or odd about it: the report of `data check`."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError, JobError
from landslide_tf.console import progress_bar
from landslide_tf.data.alignment import alignment_warnings, looked_at
from landslide_tf.data.findings import find_all, format_findings
from landslide_tf.data.index import KINDS, find_samples
from landslide_tf.data.near_duplicates import near_duplicates
from landslide_tf.data.plausible import without_numbers
from landslide_tf.data.tile_facts import THUMBNAIL_PX, TILE, look_at, texts
from landslide_tf.inputs.spec import InputSpec

MANY = 2000  # from this many tiles on, worker processes are worth their start
CHUNK = 100  # at most this many tiles are one task of a thread or process
MEMORY_BYTES = 2**24  # thumbnails that need more memory than this go to a temporary file


def check_folder(folder, *, processes: int = 1, **options) -> dict:
    """Counts, sizes, value ranges and problems of a folder of tiles.

    Reads every file once. `options` are the reading options of `TrainConfig`: `nodata`, `rgb_scale`
    and `bands`. From 2000 tiles on, `processes` worker processes share the work; a script that asks
    for more than one must keep its code under `if __name__ == "__main__":`.

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
    index = find_samples(folder, negatives=None)
    samples = index.samples
    tiles, thumbnails = np.zeros(len(samples), TILE), _Thumbnails()
    unreadable, fits, odd = [], [], {}
    for number, look in enumerate(_look_at_all(samples, spec, processes)):
        if isinstance(look, str):
            unreadable.append(look)
            continue
        tiles[number] = look.facts
        thumbnails.add(look.thumbnail)
        fits.append(look.fit)
        for line in look.odd:  # one group, whatever the numbers in the line are
            group = odd.setdefault(without_numbers(line), {"line": line, "alike": True, "of": []})
            group["alike"] &= line == group["line"]
            group["of"].append(samples[number].name)
    read = tiles["image"]["type"] != b""
    names = [sample.name for sample, good in zip(samples, read, strict=True) if good]
    tiles = tiles[read]
    mask = tiles["mask"][tiles["mask"]["type"] != b""]
    shares = mask["positive"] / np.maximum(mask["known"], 1)
    _, first, same, count = np.unique(
        tiles["digest"], return_index=True, return_inverse=True, return_counts=True
    )
    copies = [np.flatnonzero(same == number) for number in np.flatnonzero(count > 1)]
    report = {
        "root": str(index.root),
        "landslide_tiles": sum(not sample.negative for sample in samples),
        "negative_tiles": sum(sample.negative for sample in samples),
        "with_dem": sum(sample.dem is not None for sample in samples),
        "georeferenced": int(np.isfinite(tiles["place"][:, 0]).sum()),
        "crs": dict(Counter(filter(None, texts(tiles["crs"]))).most_common()),
        "resolution_m": _extremes(tiles["resolution_m"][np.isfinite(tiles["resolution_m"])]),
        "rasters": {kind: _summary(tiles[kind]) for kind in KINDS if any(tiles[kind]["type"])},
        "positive_share_mean": float(shares.mean()) if len(mask) else float("nan"),
        "positive_share_pooled": float(mask["positive"].sum() / mask["known"].sum())
        if mask["known"].any()
        else float("nan"),
        "empty_masks": int((shares == 0).sum()),
        "unpaired": list(index.unpaired),
        "passed_over": list(index.passed_over),
        "unreadable": unreadable,
        "misplaced": alignment_warnings(fits),
        "copies": sorted([names[i] for i in group] for group in copies),
        "near_duplicates": near_duplicates(names, thumbnails, np.sort(first)),
    }
    report["findings"] = find_all(report, samples, names, tiles, odd)
    return report


def _extremes(values) -> list | None:
    return [values.min().item(), values.max().item()] if len(values) else None


def _summary(facts) -> dict:
    """What the report says of the rasters of one kind."""
    facts = facts[facts["type"] != b""]
    return {
        "files": len(facts),
        "types": dict(Counter(texts(facts["type"]))),
        "height_px": _extremes(facts["height"]),
        "width_px": _extremes(facts["width"]),
        "values": [float(facts["low"].min()), float(facts["high"].max())],
        "valid_share": float(np.mean(facts["known"] / (facts["height"] * facts["width"]))),
    }


class _Thumbnails:
    """Thumbnails by number; a temporary file takes them when they are many."""

    def __init__(self):
        self.file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115

    def add(self, thumbnail) -> None:
        try:
            self.file.write(thumbnail.tobytes())
        except OSError as error:
            error.filename = tempfile.gettempdir()
            raise

    def __getitem__(self, numbers) -> np.ndarray:
        size, found = 2 * THUMBNAIL_PX**2, []  # float16
        for number in numbers.tolist():
            self.file.seek(number * size)
            found.append(self.file.read(size))
        found = np.frombuffer(b"".join(found), "float16")
        return found.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX)


def _look_at_all(samples, spec: InputSpec, processes: int):
    """The results of `look_at` for all samples, in order, with a bar of progress."""
    drawn = [i for i, sample in enumerate(samples) if sample.mask is not None]
    judged = {drawn[i] for i in looked_at(len(drawn))}
    many = processes > 1 and len(samples) >= MANY
    workers = processes if many else os.cpu_count() or 1
    step = max(1, min(CHUNK, len(samples) // (4 * workers)))
    work = [(sample, i in judged) for i, sample in enumerate(samples)]
    parts = (work[at : at + step] for at in range(0, len(work), step))
    if many:
        # 'spawn': a process that has started threads, as TensorFlow's, must not be forked
        pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), signal.signal,
            (signal.SIGINT, signal.SIG_IGN),
        )  # fmt: skip
    else:
        pool = ThreadPoolExecutor(workers)  # GDAL and NumPy release the lock
    try:
        with pool, progress_bar(desc="checking", total=len(samples), unit="tile") as bar:
            for looks in pool.map(functools.partial(look_at, spec), parts):
                yield from looks
                bar.update(len(looks))
    except BrokenProcessPool:
        raise JobError(
            "a process that read tiles died, for want of memory or by the system"
        ) from None


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
        samples = find_samples(data, negatives=None).samples
    except InputError:  # prediction needs no masks
        samples = find_samples(data, need_mask=False).samples
    return [path for sample in samples for path in sample.files.values()]


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
