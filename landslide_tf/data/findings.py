"""What `data check` says of a folder: what it found, why it matters, and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from landslide_tf.data.split import name_prefix, overlapping

SHOWN = 5  # examples of a finding
SIZE_FACTOR = 2.0  # between the largest and the smallest tile, in pixels
RESOLUTION_FACTOR = 1.5  # between the coarsest and the finest tile, in metres a pixel
LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd, with all tiles or files that it concerns.

    `level` is 'error' (such tiles cannot be used), 'warning' (they can, and the result may be
    wrong) or 'note'. `examples` are names or lines.

    >>> finding = Finding("note", "2 tiles are small", "they say little", "cut larger ones", ["a"])
    >>> finding.level
    'note'
    """

    level: str
    what: str
    why: str
    repair: str
    examples: list[str]


def find_all(report: dict, tiles, samples, odd: dict) -> list[Finding]:
    """All findings about a folder, worst first and, within a level, those of most tiles first.

    `report` is what `check_folder` has counted, `tiles` what it kept of each tile that can be
    used, `samples` all of the index, `odd` the warnings about single tiles by their wording.

    >>> report = dict.fromkeys(
    ...     ("unreadable", "passed_over", "misplaced", "copies", "near_duplicates"), []
    ... )
    >>> find_all(report | {"unpaired": ["a.png: has no mask"]}, [], [], {})[0].what
    '1 file belongs to no tile'
    """
    found = [*_broken(report), *_odd(odd), *_alike(report), *_mixed(tiles), *_without_dem(samples)]
    found += [*_empty(tiles), *_neighbours(tiles), *_sources(tiles)]
    return sorted(found, key=lambda f: (LEVELS.index(f.level), -len(f.examples)))


def _broken(report):
    if lines := report["unpaired"]:
        yield Finding(
            "error",
            _count(lines, "file belongs", "files belong", "to no tile"),
            "image, DEM and mask of a tile are found by their common name",
            "give the partner the same name, delete what is left over, or train with --skip-bad",
            lines,
        )
    if lines := report["unreadable"]:
        yield Finding(
            "error",
            _count(lines, "tile", "tiles", "cannot be used"),
            "training stops at the first of them",
            "mend each as its line says, or leave them out with --skip-bad",
            lines,
        )
    if lines := report["passed_over"]:
        yield Finding(
            "note",
            _count(lines, "file is", "files are", "passed over"),
            "they lie among the tiles, and nothing reads them",
            "write what is meant to be read as GeoTIFF or PNG; move the others away",
            lines,
        )
    for line in report["misplaced"]:
        what, _, repair = line.partition("; ")
        yield Finding(
            "warning",
            what,
            "a model learns nothing from masks that lie on other ground, and no score shows why",
            repair,
            [],
        )


def _odd(odd):
    for group in odd.values():
        if group[0][1].startswith("the mask has no landslide"):
            continue  # see `_empty`
        what, _, repair = group[0][1].partition("; ")
        names = [name for name, _ in group]
        alike = " (numbers differ)" if len({line for _, line in group}) > 1 else ""
        yield Finding(
            "warning",
            f"{_count(names, 'tile', 'tiles')}: {what}{alike}",
            "the tile can be read, and the model would learn from values that mean something else",
            repair or "look at the tile in a GIS",
            names,
        )


def _alike(report):
    if groups := report["copies"]:
        yield Finding(
            "warning",
            _count(groups, "image is", "images are", "there more than once"),
            "a copy in the test part of what was trained on makes scores too good",
            "delete the copies",
            [" = ".join(names) for names in groups],
        )
    if pairs := report["near_duplicates"]:
        yield Finding(
            "warning",
            _count(pairs, "pair of tiles looks", "pairs of tiles look", "alike (near-duplicates)"),
            "parts of a split that share a picture make scores too good",
            "keep them in one part: --split group, or a file for --split",
            [" ~ ".join(pair) for pair in pairs],
        )


def _mixed(tiles):
    for kind, meaning in (
        ("image", "brightness is scaled by the type, so the model sees two kinds of picture"),
        ("dem", "whole metres or other units make steps that slopes are computed from"),
    ):
        groups = _by((t.rasters[kind].kind, t.name) for t in tiles if kind in t.rasters)
        if len(groups) > 1:
            yield _groups(kind + " files", "types", groups, meaning,
                          "convert them to one type, or train on one kind at a time")  # fmt: skip
    groups = _by((t.crs, t.name) for t in tiles if t.crs)
    if len(groups) > 1:
        yield _groups("tiles", "coordinate systems", groups,
                      "they come from several sources; --split group compares their coordinates",
                      "reproject them to one (gdalwarp -t_srs)")  # fmt: skip
    placed = [t.name for t in tiles if t.place is not None]
    if 0 < len(placed) < len(tiles):
        loose = [t.name for t in tiles if t.place is None]
        yield Finding(
            "warning",
            _count(loose, "tile has", "tiles have", f"no georeference, {len(placed)} have one"),
            "--split group then goes by names alone, and neighbours may end in two parts",
            "give all tiles a georeference, or keep the sources in folders of their own",
            loose,
        )
    sides = [(max(t.rasters["image"].size), t.name) for t in tiles]
    if sides and max(sides)[0] > SIZE_FACTOR * min(sides)[0]:
        small, large = min(sides), max(sides)
        yield Finding(
            "warning",
            f"tiles have sides of {small[0]} to {large[0]} px",
            "all are resized to --tile-px, so that a landslide of one size looks small or large",
            "cut tiles of one size ('landslide data tiles'), or know that sizes are mixed",
            [f"{small[1]} ({small[0]} px)", f"{large[1]} ({large[0]} px)"],
        )
    metres = [(t.resolution_m, t.name) for t in tiles if t.resolution_m]
    if metres and max(metres)[0] > RESOLUTION_FACTOR * min(metres)[0]:
        fine, coarse = min(metres), max(metres)
        yield Finding(
            "warning",
            f"tiles have {fine[0]:.3g} to {coarse[0]:.3g} m a pixel",
            "the model learns textures at a scale; these are several sources in one folder",
            "resample them to one resolution (gdalwarp -tr), or train on one source",
            [f"{fine[1]} ({fine[0]:.3g} m)", f"{coarse[1]} ({coarse[0]:.3g} m)"],
        )


def _without_dem(samples):
    without = [sample.name for sample in samples if sample.dem is None]
    if without and len(without) < len(samples):
        yield Finding(
            "warning",
            _count(without, "tile has", "tiles have", f"no DEM, {len(samples) - len(without)} do"),
            "a model that reads elevation needs it for every tile",
            "add dem/NAME.*, or train with --fusion rgb",
            without,
        )
    elif without:
        yield Finding(
            "note",
            "no tile has a DEM",
            "the paper's models read elevation beside the image",
            "train with --fusion rgb, or add dem/NAME.*",
            [],
        )


def _empty(tiles):
    empty = [t.name for t in tiles if "mask" in t.rasters and not t.rasters["mask"].positive[0]]
    if empty:
        yield Finding(
            "warning",
            _count(empty, "mask has", "masks have", "no landslide pixel"),
            "a landslide that was not drawn teaches the model to overlook it",
            "draw it, or move the tile's image and DEM to non-landslide/ (train --negatives)",
            empty,
        )


def _neighbours(tiles):
    placed = [t for t in tiles if t.place is not None]
    if len(placed) < 2:
        return
    touching, sharing = overlapping(np.array([t.place for t in placed]))
    if len(sharing):
        yield Finding(
            "warning",
            _count(sharing, "pair of tiles shares", "pairs of tiles share", "ground"),
            "a random split puts the same pixels into training and test, and scores are too good",
            "train with --split group, which keeps a gap between the parts",
            [f"{placed[a].name} and {placed[b].name}" for a, b in sharing[:SHOWN]]
            + [""] * (len(sharing) - SHOWN),
        )
    beside = len(touching) - len(sharing)
    if beside:
        yield Finding(
            "note",
            f"{beside} {'pair of tiles adjoins' if beside == 1 else 'pairs of tiles adjoin'}",
            "a random split puts neighbours into training and test: scores of the same place",
            "train with --split group for scores at places that the model has not seen",
            [],
        )


def _sources(tiles):
    prefixes = Counter(name_prefix(t.name) for t in tiles if "mask" in t.rasters)
    if 1 < len(prefixes) <= 50:
        shown = ", ".join(f"{name} ({count})" for name, count in prefixes.most_common(10))
        yield Finding(
            "note",
            f"names begin in {len(prefixes)} ways: {shown}{', ...' if len(prefixes) > 10 else ''}",
            "they may be regions or surveys, and one that is held out is the fairest test",
            "landslide data split DIR split.json --test-prefix NAME",
            [],
        )


def _by(pairs) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _groups(what, kinds, groups, why, repair) -> Finding:
    shown = ", ".join(f"{key} ({len(names)})" for key, names in list(groups.items())[:SHOWN])
    first = [f"{names[0]} ({key})" for key, names in groups.items()]
    return Finding(
        "warning", f"{what} are of {len(groups)} {kinds}: {shown}", why, repair, first[:SHOWN]
    )


def _count(items, one: str, many: str, rest: str = "") -> str:
    return f"{len(items)} {one if len(items) == 1 else many} {rest}".rstrip()


def format_findings(findings: list[Finding]) -> list[str]:
    """The findings as lines for the terminal, after a line that counts them.

    >>> finding = Finding("error", "1 file belongs to no tile", "names pair files", "rename it",
    ...                   ["image/a.png: has no mask"])
    >>> print("\\n".join(format_findings([finding])))
    <BLANKLINE>
    1 error
    <BLANKLINE>
    error: 1 file belongs to no tile
      why:  names pair files
      do:   rename it
      such: image/a.png: has no mask
    """
    if not findings:
        return ["", "nothing is wrong or odd"]
    counts = Counter(finding.level for finding in findings)
    lines = ["", ", ".join(f"{counts[level]} {level}{'s' * (counts[level] > 1)}"
                           for level in LEVELS if counts[level])]  # fmt: skip
    for finding in findings:
        lines += [
            "",
            f"{finding.level}: {finding.what}",
            f"  why:  {finding.why}",
            f"  do:   {finding.repair}",
        ]
        shown = finding.examples[:SHOWN]
        lines += [f"  {'such:' if i == 0 else '     '} {line}" for i, line in enumerate(shown)]
        if len(finding.examples) > SHOWN:
            lines.append(f"        and {len(finding.examples) - SHOWN} more")
    return lines
