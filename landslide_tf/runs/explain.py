"""Grad-CAM and occlusion of a finished run's model for tiles on disk (`explain`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from landslide_tf.checks import InputError, check_choice
from landslide_tf.console import say
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.index import Sample, find_samples
from landslide_tf.data.raster import write_geotiff
from landslide_tf.data.split import PARTS
from landslide_tf.data.tile import read_file, read_tile, stack_tiles
from landslide_tf.data.tile_rules import check_has_dem
from landslide_tf.files import atomic_path, reading, sha256, write_json
from landslide_tf.inputs.resize import resize_map
from landslide_tf.runs.cam_grid import cam_grid
from landslide_tf.runs.gradcam import (
    REGIONS,
    band_groups,
    check_layer,
    default_layers,
    grad_cam,
    occlusion,
    probabilities,
)
from landslide_tf.runs.run import Run, load_run
from landslide_tf.training.figures import sample_rows
from landslide_tf.training.run_folder import NEW_RUN
from landslide_tf.training.tile_scores import read_tile_scores

EVENLY = 6  # tiles that are shown where nothing is known of their scores
SCORES = {"test": "tile_scores.npz", "validation": "validation_scores.npz"}


@dataclass(frozen=True)
class Chosen:
    """Which tiles to explain.

    Without `names` and `count` these are four that show the model fairly (`sample_rows`): the
    median IoU, a small and a large landslide, a failure. Where no scores are kept of the tiles
    (other tiles, the training part) they are six, evenly spaced in the order of their names.
    """

    tiles: str | Path | None = None  # a folder of tiles; default: the run's own data
    part: str | None = None  # of the run's own data: 'train', 'validation' or 'test' (default)
    names: tuple[str, ...] = ()  # these tiles
    count: int | None = None  # so many tiles, evenly spaced


def explain_run(
    run_dir,
    out,
    *,
    chosen: Chosen = Chosen(),
    layers: tuple[str, ...] = (),
    region: str = "prediction",
    overwrite: bool = False,
) -> Path:
    """Write Grad-CAM maps and the occlusion of input bands for tiles of a folder.

    `gradcam.png` (image, DEM, truth, probability, a map for each layer), `NAME_LAYER_gradcam.tif`
    (float32 in [0, 1], of the tile's size and with its georeference), `occlusion.csv`,
    `explain.json`.

    Args:
        run_dir: a complete run.
        out: folder to write to.
        chosen: which tiles.
        layers: layer names; default the last encoder level and the last decoder block.
        region: see `grad_cam`; 'mask' needs tiles with masks.

    Raises:
        InputError: no such run, tiles, names or layers; files that exist (unless `overwrite`).

    >>> folder = explain_run("runs/first", "explained", chosen=Chosen(count=1))
    without rgb: probability changes by ... on average, ... of pixels change sides of the threshold
    without dem: ...
    1 tiles explained in explained
    >>> sorted(path.name for path in folder.glob("*.*s*"))
    ['explain.json', 'occlusion.csv']
    """
    check_choice("region", region, REGIONS)
    run, out = load_run(run_dir), Path(out)
    layers = tuple(layers) or default_layers(run.model)
    for layer in layers:
        check_layer(run.model, layer)
    known = chosen.tiles is None or region == "mask"  # the masks are read
    labelled = _choose(run, chosen, known)
    samples = list(labelled.values())
    paths = {
        (s.name, layer): out / f"{s.name.replace('/', '_')}_{layer}_gradcam.tif"
        for s in samples
        for layer in layers
    }
    picture, table, facts = (
        out / name for name in ("gradcam.png", "occlusion.csv", "explain.json")
    )
    if len(set(paths.values())) < len(paths):
        raise InputError(f"{out}: two tiles would be written to one file; explain them one by one")
    exists = [path for path in (*paths.values(), picture, table, facts) if path.exists()]
    if exists and not overwrite:
        raise InputError(f"{exists[0]}: exists; give --overwrite to replace it, or another --out")
    read = [read_tile(sample, run.spec)[0] for sample in samples]
    x = stack_tiles(read, run.spec)
    valid = np.stack([tile.valid for tile in read])
    mask = np.stack([tile.mask for tile in read])
    cams = {
        layer: grad_cam(run.model, x, layer, region, mask, threshold=run.threshold, valid=valid)
        for layer in layers
    }
    hidden = occlusion(run.model, x, band_groups(run.spec), valid, run.threshold)
    out.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(samples):
        image = read_file(sample, "image", run.spec)
        for layer in layers:
            cam = resize_map(cams[layer][i], image.size)
            cam = np.where(image.valid, cam, np.float32(np.nan))
            write_geotiff(paths[sample.name, layer], cam, image, nodata=float("nan"))
    cam_grid(
        list(labelled), read, probabilities(run.predictor, x), cams,
        threshold=run.threshold, path=picture, truth=known,
    )  # fmt: skip
    rows = [
        {"tile": sample.name, "bands": group, **{key: value[i] for key, value in scores.items()}}
        for group, scores in hidden.items()
        for i, sample in enumerate(samples)
    ]
    with atomic_path(table) as scratch:
        pd.DataFrame(rows).to_csv(scratch, index=False, float_format="%.6g")
    write_json(
        facts,
        {"run": str(run_dir), "data": str(chosen.tiles or run.config.data),
         "part": (chosen.part or "test") if chosen.tiles is None else None,
         "tiles": [s.name for s in samples], "layers": list(layers), "region": region,
         "threshold": run.threshold},
    )  # fmt: skip
    for group, scores in hidden.items():
        say(
            f"without {group}: probability changes by {np.nanmean(scores['change']):.3f} on "
            f"average, {np.nanmean(scores['flipped']):.1%} of pixels change sides of the threshold"
        )
    say(f"{len(samples)} tiles explained in {out}")
    return out


def _choose(run: Run, chosen: Chosen, need_mask: bool) -> dict[str, Sample]:
    """The samples to explain, by what the picture says of each."""
    tiles, count, part = chosen.tiles, chosen.count, chosen.part or "test"
    if count is not None and count < 1:
        raise InputError(f"--count must be at least 1. Received: {count}")
    if tiles is not None and chosen.part is not None:
        raise InputError("--part is of the run's own data; leave it out with --tiles")
    folder = Path(tiles or run.config.data or demo_folder())
    if folder.is_file():
        raise InputError(f"{folder}: is a pack, which holds no files to explain; give --tiles DIR")
    index = find_samples(
        folder, negatives=run.config.negatives and tiles is None, need_mask=need_mask
    )
    found = {sample.name: sample for sample in index.samples}
    labels = {}
    if chosen.names:
        candidates = list(chosen.names)
    elif tiles is None:
        check_choice("part", part, PARTS)
        with reading(run.folder / "split.json", NEW_RUN):
            candidates = [str(name) for name in run.split[part]]
        labels = _by_rule(run, part) if count is None else {}
        candidates = list(labels) or candidates
    else:
        candidates = list(found)
    for name in candidates:
        if name not in found:
            raise InputError(f"{folder}: holds no tile {name!r}; see 'data check' for its names")
    if not candidates:
        raise InputError(f"the run's {part} part is empty; give --part validation")
    shown = len(candidates) if chosen.names or labels else min(count or EVENLY, len(candidates))
    steps = np.linspace(0, len(candidates) - 1, shown).round().astype(int)
    samples = {labels.get(n, n): found[n] for n in (candidates[i] for i in steps)}
    for sample in samples.values():
        with reading(run.folder / "split.json", NEW_RUN):
            known = run.split["files"].get(sample.name) if tiles is None else None
            digests = {} if known is None else {kind: known[kind] for kind in sample.files}
        if any(sha256(sample.files[kind]) != digest for kind, digest in digests.items()):
            raise InputError(
                f"{sample.image}: has changed since the run was made; give --tiles DIR"
            )
        check_has_dem(sample, run.spec)
    return samples


def _by_rule(run: Run, part: str) -> dict[str, str]:
    """Labels of the tiles that `sample_rows` chooses, by name; none without scores of the part."""
    path = run.folder / SCORES.get(part, "")
    if not run.split[part] or not path.is_file():
        return {}
    scores = read_tile_scores(path)
    if set(scores.names) != set(run.split[part]):
        return {}
    tp, fp, fn, _ = scores.counts(run.threshold).T
    iou = tp / np.maximum(tp + fp + fn, 1)
    chosen = sample_rows(iou, tp + fn)
    return {
        str(scores.names[i]): f"{label.removesuffix(' IoU')}\n{scores.names[i]}\nIoU {iou[i]:.2f}"
        for label, i in chosen.items()
    }
