"""What a model looks at: Grad-CAM for segmentation, and occlusion of its input bands."""

from __future__ import annotations

import difflib
import re

import keras
import numpy as np

from landslide_tf.checks import InputError, check_choice
from landslide_tf.inputs.resize import resize_map
from landslide_tf.inputs.spec import InputSpec
from landslide_tf.models.probability import Predictor

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
        ranked = [
            (int(m.group(1) or 0), name.startswith("fusion"), place)
            for place, name in enumerate(names)
            if (m := re.match(pattern, name))
        ]
        if not ranked:
            raise InputError(f"{model.name}: has no encoder and decoder blocks; name a layer")
        found.append(names[max(ranked)[-1]])
    return found[0], found[1]


def layers_to_explain(model) -> list:
    """Layers whose output is a map (B, h, w, channels), input and logits left out, in order.

    >>> from landslide_tf.models import build_model
    >>> model = build_model("unet", input_shape=(32, 32, 4), filters=2)
    >>> [layer.name for layer in layers_to_explain(model)][:2]
    ['encoder0_conv1', 'encoder0_bn1']
    """
    return [
        layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
        and not layer.name.startswith("logits")
        and isinstance(layer.output, keras.KerasTensor)
        and len(layer.output.shape) == 4
        and layer.output.shape[1] != 1  # descriptors of channel attention
    ]


def check_layer(model, name: str) -> None:
    """Raise `InputError`, with the names most alike, unless a layer can be explained.

    >>> from landslide_tf.models import build_model
    >>> model = build_model("unet", input_shape=(32, 32, 4), filters=2)
    >>> check_layer(model, "encoder")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: ...
    """
    names = [layer.name for layer in layers_to_explain(model)]
    if name not in names:
        near = difflib.get_close_matches(name, names, 3, 0) or names[:3]
        raise InputError(
            f"`layer` {name!r} is none of the {len(names)} layers with a map; the nearest names: "
            f"{', '.join(near)} (all: explain --list-layers)"
        )


def grad_cam(model, x, layer=None, region="prediction", mask=None, *, threshold=0.5, valid=None):
    """Grad-CAM heat maps of the landslide class, one per tile, float32 (B, H, W) in [0, 1].

    Grad-CAM (Selvaraju et al. 2017) is used for segmentation as in Seg-Grad-CAM (Vinogradova et al.
    2020): the gradient is that of the logits summed over a region of pixels. With A the maps of a
    layer and y this sum, channel k has the weight w_k = mean over the map of dy/dA_k. The result is
    ReLU(sum_k w_k A_k), resized to the input and divided by its highest value. It is zero
    everywhere if the region is empty or if the weighted sum is nowhere positive.

    After a transposed convolution of stride s, the weighted sum is first averaged over the stride
    (`smooth_over_stride`). Each of the s x s output phases of this layer has its own weights. This
    draws a checkerboard of period s on the maps that follow (Odena et al. 2016), which says nothing
    about the ground. Averaging over the stride also removes it inside networks (Sugawara et al.
    2019). The gradients need no smoothing, because they are averaged over the whole map.

    Args:
        model: Keras model from (B, H, W, C) to logits (B, H, W, 1).
        x: its input, float32 (B, H, W, C).
        layer: name of a layer whose output is a map; default the last encoder level.
        region: the pixels with probability >= `threshold` ('prediction'), those of `mask`
            (B, H, W), or 'all'.
        valid: bool (B, H, W), pixels that a region may hold; default all.

    Returns:
        float32 (B, H, W) in [0, 1].

    Raises:
        InputError: no such layer, no mask for region 'mask', or a backend other than TensorFlow.

    >>> from landslide_tf.runs.run import load_run
    >>> x = np.random.default_rng(0).random((2, 32, 32, 4), "float32")
    >>> cam = grad_cam(load_run("runs/first").model, x, region="all")
    >>> cam.shape, bool(cam.min() >= 0), bool(cam.max() <= 1)
    ((2, 32, 32), True, True)
    """
    check_choice("region", region, REGIONS)
    if region == "mask" and mask is None:
        raise InputError("region 'mask' needs `mask`")
    if keras.backend.backend() != "tensorflow":
        raise InputError("Grad-CAM needs the TensorFlow backend: set KERAS_BACKEND=tensorflow")
    import tensorflow as tf

    layer = layer or default_layers(model)[0]
    check_layer(model, layer)
    output = model.get_layer(layer).output
    both = keras.Model(model.inputs, [output, model.outputs[0]])
    stride = upsampling_stride(model, layer)
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
            if valid is not None:
                where *= tf.cast(np.asarray(valid[i])[None, ..., None], logits.dtype)
            total = tf.reduce_sum(logits * tf.stop_gradient(where))
        gradient = tape.gradient(total, features)
        features, gradient = (np.asarray(a, "float32")[0] for a in (features, gradient))
        cam = (features * gradient.mean(axis=(0, 1))).sum(axis=-1)
        cam = np.maximum(smooth_over_stride(cam, stride), 0)
        cam = np.maximum(resize_map(cam, tile.shape[:2]), 0)
        maps.append(cam / cam.max() if cam.max() > 0 else np.zeros_like(cam))
    return np.stack(maps).astype("float32")


def upsampling_stride(model, layer: str) -> int:
    """The largest stride of the transposed convolutions that a layer's output depends on, else 1.

    >>> from landslide_tf.models import build_model
    >>> model = build_model("unet", input_shape=(32, 32, 4), filters=2)
    >>> upsampling_stride(model, "encoder4_relu2"), upsampling_stride(model, "decoder0_relu2")
    (1, 2)
    """
    before = keras.Model(model.inputs, model.get_layer(layer).output).layers
    transposed = (b for b in before if isinstance(b, keras.layers.Conv2DTranspose))
    return max((max(layer.strides) for layer in transposed), default=1)


def smooth_over_stride(values, stride: int):
    """A map (h, w), smoothed along both axes by two moving averages over `stride` pixels.

    Two averages make the kernel symmetric, (1, 2, 1) / 4 for stride 2, so that the map is not
    shifted. A constant slope is not changed, and a pattern with period `stride` is reduced to its
    mean. At the border the map is mirrored.

    >>> chequered = np.array([[1.0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    >>> np.unique(smooth_over_stride(chequered, 2)).tolist()
    [0.25]
    """
    from scipy.ndimage import convolve1d

    box = np.ones(stride) / stride
    weights = np.convolve(box, box)
    for axis in (0, 1):
        values = convolve1d(values, weights, axis=axis, mode="mirror")
    return values


def band_groups(spec: InputSpec) -> dict[str, slice]:
    """The input channels that belong together: RGB; the DEM and what is derived from it.

    >>> band_groups(InputSpec(terrain=("slope",)))
    {'rgb': slice(0, 3, None), 'dem': slice(3, 5, None)}
    """
    groups = {"rgb": slice(0, 3)}
    return {**groups, "dem": slice(3, spec.channels)} if spec.uses_dem else groups


def probabilities(predict, x) -> np.ndarray:
    """The probabilities (B, H, W) of a `Predictor`, one tile at a time: memory for one.

    >>> probabilities(lambda x: len(x) * x[..., 0], np.full((3, 1, 1, 4), 0.5)).ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    return np.concatenate([predict(tile[None]) for tile in x])


def occlusion(model, x, groups: dict[str, slice], valid=None, threshold=0.5) -> dict[str, dict]:
    """Change of the prediction when the channels of a group are set to their means (occlusion).

    Each channel of the group gets its own mean over the tile's valid pixels. The mean keeps the
    tile's level and removes its pattern, whereas zero would mean 'black' or 'lowest point'.

    Args:
        model, x: as for `grad_cam`.
        groups: channels by name, see `band_groups`.
        valid: bool (B, H, W), pixels that count; default all.

    Returns:
        By group: `change`, the mean absolute change of the probability, and `flipped`, the share
        of pixels that change sides of the threshold; each (B,), NaN for a tile without data.

    >>> from landslide_tf.runs.run import load_run
    >>> x = np.random.default_rng(0).random((2, 32, 32, 4), "float32")
    >>> found = occlusion(load_run("runs/first").model, x, {"RGB": slice(0, 3), "DEM": slice(3, 4)})
    >>> list(found), found["DEM"]["change"].shape
    (['RGB', 'DEM'], (2,))
    """
    x = np.asarray(x, "float32")
    valid = np.ones(x.shape[:3], bool) if valid is None else np.asarray(valid, bool)
    predict = Predictor(model)
    before = probabilities(predict, x)
    result = {}
    for name, channels in groups.items():
        hidden = x.copy()
        for tile, keep in zip(hidden, valid, strict=True):
            if keep.any():
                tile[keep, channels] = tile[keep, channels].mean(axis=0)
        after = probabilities(predict, hidden)
        flipped = (before >= threshold) != (after >= threshold)
        result[name] = {
            "change": _mean(np.abs(after - before), valid),
            "flipped": _mean(flipped, valid),
        }
    return result


def _mean(values, valid):
    """The mean over the valid pixels of each tile, (B,); NaN where there is none."""
    means = np.ma.array(values, mask=~valid).mean(axis=(1, 2), dtype="float64")
    return means.filled(np.nan)
