"""What `data check` says of a folder: what it found, why it matters, and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from landslide_tf.data.plausible import LEAST_MASKS, share_warnings
from landslide_tf.data.split import name_prefix, overlapping
from landslide_tf.data.tile_facts import texts

SHOWN = 5  # examples of a finding
SIZE_FACTOR = 2.0  # between the largest and the smallest tile, in pixels
RESOLUTION_FACTOR = 1.5  # between the coarsest and the finest tile, in metres a pixel
LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd, with all tiles or files that it concerns.

    `level` is 'error' (such tiles cannot be used), 'warning' (they can, and the result may be
    wrong) or 'note'. `examples` are names or lines.
    """

    level: str
    what: str
    why: str
    repair: str
    examples: list[str] = field(default_factory=list)


def find_all(report: dict, samples, names, tiles, odd: dict) -> list[Finding]:
    """All findings about a folder, worst first and, within a level, those of most tiles first.

    `report` is what `check_folder` has counted, `samples` all of the index. `names` and `tiles`
    (of type `tile_facts.TILE`) are those of the tiles that can be used. `odd` has the warnings
    about single tiles by their wording.
    """
    found = [*_files(report), *_odd(odd), *_mixed(names, tiles), *_without_dem(samples)]
    found += [*_masks(names, tiles["mask"]), *_neighbours(names, tiles["place"])]
    return sorted(found, key=lambda f: (LEVELS.index(f.level), -len(f.examples)))


def _each(level, examples, what, why, repair) -> list[Finding]:
    """A list with one finding about all `examples`, else []; `what` is its singular and plural."""
    count = len(examples)
    return [Finding(level, f"{count} {what[count > 1]}", why, repair, examples)] if count else []


def _files(report):
    yield from _each(
        "error",
        report["unpaired"],
        ("file belongs to no tile", "files belong to no tile"),
        "image, DEM and mask of a tile are found by their common name",
        "give the partner the same name, delete what is left over, or train with --skip-bad",
    )
    yield from _each(
        "error",
        report["unreadable"],
        ("tile cannot be used", "tiles cannot be used"),
        "training stops at the first of them",
        "mend each as its line says, or leave them out with --skip-bad",
    )
    yield from _each(
        "note",
        report["passed_over"],
        ("file is passed over", "files are passed over"),
        "they lie among the tiles, and nothing reads them",
        "write what is meant to be read as GeoTIFF or PNG; move the others away",
    )
    for line in report["misplaced"]:
        what, _, repair = line.partition("; ")
        why = "a model learns nothing from masks that lie on other ground, and no score shows why"
        yield Finding("warning", what, why, repair)
    yield from _each(
        "warning",
        [" = ".join(names) for names in report["copies"]],
        ("image is there more than once", "images are there more than once"),
        "a copy in the test part of what was trained on makes scores too good",
        "delete the copies",
    )
    yield from _each(
        "warning",
        [" ~ ".join(pair) for pair in report["near_duplicates"]],
        (
            "pair of tiles looks alike (near-duplicates)",
            "pairs of tiles look alike (near-duplicates)",
        ),
        "parts of a split that share a picture make scores too good",
        "keep them in one part: --split group, or a file for --split",
    )


def _odd(odd):
    for group in odd.values():
        what, _, repair = group["line"].partition("; ")
        if what.startswith("the mask has no landslide"):
            continue  # see `_masks`
        what += "" if group["alike"] else " (numbers differ)"
        yield from _each(
            "warning",
            group["of"],
            (f"tile: {what}", f"tiles: {what}"),
            "the tile can be read, and the model would learn from values that mean something else",
            repair or "look at the tile in a GIS",
        )


def _mixed(names, tiles):
    for kind, why in (
        ("image", "brightness is scaled by the type, so the model sees two kinds of picture"),
        ("dem", "whole numbers round elevations to steps, which slopes show; units may differ"),
    ):
        yield from _kinds(
            f"{kind} files are of {{}} types",
            texts(tiles[kind]["type"]),
            names,
            why,
            "convert them to one type, or train on one kind at a time",
        )
    yield from _kinds(
        "tiles are of {} coordinate systems",
        texts(tiles["crs"]),
        names,
        "they come from several sources; --split group compares their coordinates",
        "reproject them to one (gdalwarp -t_srs)",
    )
    loose = np.flatnonzero(np.isnan(tiles["place"][:, 0]))
    if placed := len(names) - len(loose):
        yield from _each(
            "warning",
            [names[i] for i in loose],
            (
                f"tile has no georeference, {placed} have one",
                f"tiles have no georeference, {placed} have one",
            ),
            "--split group then goes by names alone, and neighbours may end in two parts",
            "give all tiles a georeference, or keep the sources in folders of their own",
        )
    for values, factor, said, unit, why, repair in (
        (
            np.maximum(tiles["image"]["height"], tiles["image"]["width"]),
            SIZE_FACTOR,
            "tiles have sides of {} to {} px",
            "{} px",
            "all are resized to --tile-px, so that a landslide of one size looks small or large",
            "cut tiles of one size ('landslide data tiles'), or know that sizes are mixed",
        ),
        (
            tiles["resolution_m"],
            RESOLUTION_FACTOR,
            "tiles have {:.3g} to {:.3g} m a pixel",
            "{:.3g} m",
            "the model learns textures at a scale; these are several sources in one folder",
            "resample them to one resolution (gdalwarp -tr), or train on one source",
        ),
    ):
        if np.isnan(values).all():
            continue
        ends = np.nanargmin(values), np.nanargmax(values)
        low, high = (values[i] for i in ends)
        if high > factor * low:
            examples = [f"{names[i]} ({unit.format(values[i])})" for i in ends]
            yield Finding("warning", said.format(low, high), why, repair, examples)


def _kinds(what, kinds, names, why, repair):
    """A finding if `kinds`, one per tile and '' where a tile has none, are not all the same."""
    counts = Counter(kind for kind in kinds if kind).most_common()
    if len(counts) > 1:
        shown = ", ".join(f"{kind} ({count})" for kind, count in counts[:SHOWN])
        examples = [f"{names[kinds.index(kind)]} ({kind})" for kind, _ in counts[:SHOWN]]
        yield Finding("warning", f"{what.format(len(counts))}: {shown}", why, repair, examples)


def _without_dem(samples):
    without = [sample.name for sample in samples if sample.dem is None]
    others = len(samples) - len(without)
    if others:
        yield from _each(
            "warning",
            without,
            (f"tile has no DEM, {others} do", f"tiles have no DEM, {others} do"),
            "a model that reads elevation needs it for every tile",
            "add dem/NAME.*, or train with --fusion rgb",
        )
    else:
        yield Finding(
            "note",
            "no tile has a DEM",
            "the paper's models read elevation beside the image",
            "train with --fusion rgb, or add dem/NAME.*",
        )


def _masks(names, mask):
    drawn = mask["type"] != b""
    yield from _each(
        "warning",
        [names[i] for i in np.flatnonzero(drawn & (mask["positive"] == 0))],
        ("mask has no landslide pixel", "masks have no landslide pixel"),
        "a landslide that was not drawn teaches the model to overlook it",
        "draw it, or move the tile's image and DEM to non-landslide/ (train --negatives)",
    )
    if drawn.sum() >= LEAST_MASKS:
        for line in share_warnings(int(mask["positive"].sum()), int(mask["known"][drawn].sum())):
            what, _, repair = line.partition("; ")
            why = "a model of exchanged labels finds what is no landslide, and no score shows it"
            yield Finding("warning", what, why, repair)
    prefixes = Counter(name_prefix(names[i]) for i in np.flatnonzero(drawn))
    if 1 < len(prefixes) <= 50:
        shown = ", ".join(f"{name} ({count})" for name, count in prefixes.most_common(10))
        yield Finding(
            "note",
            f"names begin in {len(prefixes)} ways: {shown}{', ...' if len(prefixes) > 10 else ''}",
            "they may be regions or surveys, and one that is held out is the fairest test",
            "landslide data split DIR split.json --test-prefix NAME",
        )


def _neighbours(names, place):
    touching, sharing = overlapping(place)
    yield from _each(
        "warning",
        [f"{names[a]} and {names[b]}" for a, b in sharing[:SHOWN]] + [""] * (len(sharing) - SHOWN),
        ("pair of tiles shares ground", "pairs of tiles share ground"),
        "a random split puts the same pixels into training and test, and scores are too good",
        "train with --split group, which keeps a gap between the parts",
    )
    beside = len(touching) - len(sharing)
    if beside:
        yield Finding(
            "note",
            f"{beside} {'pair of tiles adjoins' if beside == 1 else 'pairs of tiles adjoin'}",
            "a random split puts neighbours into training and test: scores of the same place",
            "train with --split group for scores at places that the model has not seen",
        )


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
