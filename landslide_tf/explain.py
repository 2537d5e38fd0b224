"""What a model looks at: Grad-CAM for segmentation, and occlusion of its input bands."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from landslide_tf import figures, runs
from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import TrainConfig
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.index import Sample, find_samples
from landslide_tf.data.pipeline import model_input
from landslide_tf.data.raster import resize_bilinear, write_geotiff
from landslide_tf.data.split import PARTS
from landslide_tf.data.tile import read_file, read_tile
from landslide_tf.files import atomic_path, write_json
from landslide_tf.runs import Run, load_run, predict_probability

REGIONS = ("prediction", "mask", "all")


def default_layers(model) -> tuple[str, str]:
    """Names of the last layer of the last encoder level and of the last decoder block.

    Two encoders (fusion 'bottleneck') are taken where they are joined.

    >>> from landslide_tf import build_model
    >>> default_layers(build_model("unetpp", filters=4, dropout=0.0))
    ('encoder4_relu2', 'node0_4_relu2')

    Raises:
        InputError: the model has no blocks of these names; give a layer.
    """
    # Dropout passes its input on when a model predicts: the layer before it is the same map.
    names = [
        layer.name for layer in layers_to_explain(model) if not layer.name.endswith("_dropout")
    ]
    found = []
    for pattern in (r"(?:fusion|encoder)(\d)", r"(?:decoder0|node0_(\d))_"):
        matches = [(re.match(pattern, name), name) for name in names]
        matches = [
            (int(m.group(1) or 0), name.startswith("fusion"), name) for m, name in matches if m
        ]
        if not matches:
            raise InputError(f"{model.name}: has no encoder and decoder blocks; name a layer")
        deepest = max(matches)[:2]
        found.append([name for *rank, name in matches if tuple(rank) == deepest][-1])
    return found[0], found[1]


def layers_to_explain(model) -> list:
    """Layers whose output is a map (B, h, w, channels), input and logits left out, in order."""
    return [
        layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
        and not layer.name.startswith("logits")
        and isinstance(layer.output, keras.KerasTensor)
        and len(layer.output.shape) == 4
        and layer.output.shape[1] != 1  # descriptors of channel attention
    ]


def grad_cam(model, x, layer=None, region="prediction", mask=None, threshold=0.5):
    """Grad-CAM of the landslide class (Selvaraju et al. 2017), for segmentation as Seg-Grad-CAM
    (Vinogradova et al. 2020): the gradient is of the logits summed over a region of pixels.

    With A the maps of a layer and y the sum of the logits over the region, channel k weighs
    w_k = mean over the map of dy/dA_k; the result is ReLU(sum_k w_k A_k), resized to the input and
    divided by its highest value. A tile whose region is empty, or where no channel speaks for
    landslide, has a map of zeros.

    Args:
        model: Keras model from (B, H, W, C) to logits (B, H, W, 1).
        x: its input, float32 (B, H, W, C).
        layer: name of a layer whose output is a map; default the last encoder level.
        region: the pixels with probability >= `threshold` ('prediction'), those of `mask`
            (B, H, W), or 'all'.

    Returns:
        float32 (B, H, W) in [0, 1].

    Raises:
        InputError: no such layer, no mask for region 'mask', or a backend other than TensorFlow.
    """
    check_choice("region", region, REGIONS)
    if region == "mask" and mask is None:
        raise InputError("region 'mask' needs `mask`")
    if keras.backend.backend() != "tensorflow":
        raise InputError("Grad-CAM needs the TensorFlow backend: set KERAS_BACKEND=tensorflow")
    import tensorflow as tf

    names = [candidate.name for candidate in layers_to_explain(model)]
    check_choice("layer", layer or default_layers(model)[0], names)
    output = model.get_layer(layer or default_layers(model)[0]).output
    both = keras.Model(model.inputs, [output, model.outputs[0]])
    maps = []
    for i, tile in enumerate(np.asarray(x, "float32")):  # one at a time: memory for one gradient
        with tf.GradientTape() as tape:
            inputs = tf.convert_to_tensor(tile[None])
            tape.watch(inputs)  # so that layers without weights before them are recorded too
            features, logits = both(inputs, training=False)
            where = tf.ones_like(logits)
            if region == "prediction":
                where = tf.cast(tf.sigmoid(logits) >= threshold, logits.dtype)
            elif region == "mask":
                where = tf.cast(np.asarray(mask[i])[None, ..., None] > 0, logits.dtype)
            total = tf.reduce_sum(logits * tf.stop_gradient(where))
        gradient = tape.gradient(total, features)
        features, gradient = (np.asarray(a, "float32")[0] for a in (features, gradient))
        cam = np.maximum((features * gradient.mean(axis=(0, 1))).sum(axis=-1), 0)
        cam, _ = resize_bilinear(cam[..., None], tile.shape[:2])
        cam = np.maximum(cam[..., 0], 0)
        maps.append(cam / cam.max() if cam.max() > 0 else np.zeros_like(cam))
    return np.stack(maps).astype("float32")


def band_groups(config: TrainConfig) -> dict[str, slice]:
    """The input channels that belong together, by name: RGB, the DEM, each terrain channel.

    >>> band_groups(TrainConfig(terrain=("slope",)))
    {'rgb': slice(0, 3, None), 'dem': slice(3, 4, None), 'slope': slice(4, 5, None)}
    """
    groups = {"rgb": slice(0, 3)}
    if config.fusion != "rgb":
        groups["dem"] = slice(3, 4)
        groups |= {name: slice(4 + i, 5 + i) for i, name in enumerate(config.terrain)}
    return groups


def occlusion(model, x, groups: dict[str, slice], valid=None, threshold=0.5) -> dict[str, dict]:
    """How much the answer changes when a group of input channels says nothing.

    Each channel of a group is replaced by its own mean over the tile's valid pixels: zero would
    say 'black' or 'lowest point', the mean keeps the tile's level and takes its pattern away.

    Args:
        model, x: as for `grad_cam`.
        groups: channels by name, see `band_groups`.
        valid: bool (B, H, W), pixels that count; default all.

    Returns:
        By group: `change`, the mean absolute change of the probability, and `flipped`, the share
        of pixels that change sides of the threshold; each (B,), NaN for a tile without data.
    """
    x = np.asarray(x, "float32")
    valid = np.ones(x.shape[:3], bool) if valid is None else np.asarray(valid, bool)
    before = _probability(model, x)
    result = {}
    for name, channels in groups.items():
        hidden = x.copy()
        for tile, keep in zip(hidden, valid, strict=True):
            if keep.any():
                tile[keep, channels] = tile[keep, channels].mean(axis=0)
        after = _probability(model, hidden)
        flipped = (before >= threshold) != (after >= threshold)
        result[name] = {
            "change": _mean(np.abs(after - before), valid),
            "flipped": _mean(flipped, valid),
        }
    return result


def _probability(model, x):
    return np.concatenate([predict_probability(model, tile[None]) for tile in x])


def _mean(values, valid):
    counts = valid.sum(axis=(1, 2))
    sums = np.where(valid, values, 0).sum(axis=(1, 2), dtype="float64")
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def explain_run(
    run_dir,
    out,
    *,
    tiles=None,
    part: str = "test",
    names: tuple[str, ...] = (),
    count: int = 6,
    layers: tuple[str, ...] = (),
    region: str = "prediction",
    overwrite: bool = False,
) -> Path:
    """Write Grad-CAM maps and the occlusion of input bands for tiles of a folder.

    `gradcam.png` (image, DEM, probability, a map for each layer), `NAME_LAYER_gradcam.tif`
    (float32 in [0, 1], of the tile's size and with its georeference), `occlusion.csv`,
    `explain.json`.

    Args:
        run_dir: a complete run.
        out: folder to write to.
        tiles: folder of tiles; default the run's own data, where `part` chooses among them.
        names: these tiles; default `count` of them, evenly spaced in the order of their names.
        layers: layer names; default the last encoder level and the last decoder block.
        region: see `grad_cam`; 'mask' needs tiles with masks.

    Raises:
        InputError: no such run, tiles, names or layers; files that exist (unless `overwrite`).
    """
    check_choice("region", region, REGIONS)
    run, out = load_run(run_dir), Path(out)
    layers = tuple(layers) or default_layers(run.model)
    for layer in layers:
        check_choice("layer", layer, [candidate.name for candidate in layers_to_explain(run.model)])
    samples = _choose(run, tiles, part, names, count, region)
    paths = {
        (s.name, layer): out / f"{s.name.replace('/', '_')}_{layer}_gradcam.tif"
        for s in samples
        for layer in layers
    }
    others = [out / name for name in ("gradcam.png", "occlusion.csv", "explain.json")]
    exists = [path for path in (*paths.values(), *others) if path.exists()]
    if exists and not overwrite:
        raise InputError(f"{exists[0]}: exists; give --overwrite to replace it, or another --out")
    read = [read_tile(sample, run.config)[0] for sample in samples]
    x = np.stack([_input(run, tile) for tile in read])
    valid = np.stack([tile.valid for tile in read])
    mask = np.stack([tile.mask for tile in read])
    cams = {layer: grad_cam(run.model, x, layer, region, mask, run.threshold) for layer in layers}
    hidden = occlusion(run.model, x, band_groups(run.config), valid, run.threshold)
    out.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(samples):
        image = read_file(sample, "image", run.config)
        for layer in layers:
            cam, _ = resize_bilinear(cams[layer][i][..., None], image.size)
            write_geotiff(paths[sample.name, layer], cam[..., 0], image)
    figures.cam_grid(
        [sample.name for sample in samples], read, _probability(run.model, x), cams,
        run.config.fusion != "rgb", others[0],
    )  # fmt: skip
    rows = [
        {"tile": sample.name, "bands": group, **{key: value[i] for key, value in scores.items()}}
        for group, scores in hidden.items()
        for i, sample in enumerate(samples)
    ]
    with atomic_path(others[1]) as scratch:
        pd.DataFrame(rows).to_csv(scratch, index=False, float_format="%.6g")
    write_json(
        others[2],
        {"run": str(run_dir), "tiles": [s.name for s in samples], "layers": list(layers),
         "region": region, "threshold": run.threshold},
    )  # fmt: skip
    for group, scores in hidden.items():
        runs.say(
            f"without {group}: probability changes by {np.nanmean(scores['change']):.3f} on "
            f"average, {np.nanmean(scores['flipped']):.1%} of pixels change sides of the threshold"
        )
    runs.say(f"{len(samples)} tiles explained in {out}")
    return out


def _choose(run: Run, tiles, part: str, names, count: int, region: str) -> list[Sample]:
    """The samples to explain."""
    if count < 1:
        raise InputError(f"--count must be at least 1. Received: {count}")
    folder = tiles or run.config.data or demo_folder()
    index = find_samples(
        folder, negatives=run.config.negatives and tiles is None, need_mask=region == "mask"
    )
    found = {sample.name: sample for sample in index.samples}
    if names:
        for name in names:
            if name not in found:
                raise InputError(
                    f"{folder}: holds no tile {name!r}; see 'data check' for its names"
                )
        chosen = list(names)
    else:
        candidates = list(found)
        if tiles is None:
            check_choice("part", part, PARTS)
            candidates = [name for name in run.split[part] if name in found]
        if not candidates:
            raise InputError(f"{folder}: holds no tile of the run's {part} part; give --tiles")
        steps = np.linspace(0, len(candidates) - 1, min(count, len(candidates)))
        chosen = [candidates[i] for i in steps.round().astype(int)]
    samples = [found[name] for name in chosen]
    for sample in samples:
        if run.config.fusion != "rgb" and sample.dem is None:
            raise InputError(f"{sample.image}: has no DEM, which this model needs; add dem/NAME.*")
    return samples


def _input(run: Run, tile):
    valid = tile.image_valid if run.config.fusion == "rgb" else tile.input_valid
    return model_input(tile.rgb, tile.dem, tile.terrain, valid, run.config, run.dem_statistics)
