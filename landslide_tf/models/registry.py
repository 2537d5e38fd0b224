"""`build_model`: the six models of the paper, and all other pairs of architecture and attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from landslide_tf.checks import InputError, check_choice, check_multiple
from landslide_tf.fields import check_number, plain
from landslide_tf.inputs.spec import FUSIONS
from landslide_tf.models.attention import find_attention
from landslide_tf.models.blocks import conv_block, residual_block
from landslide_tf.models.encoder import LEVELS, encode_fused
from landslide_tf.models.segmentation_model import segmentation_model
from landslide_tf.models.unet import resunet, unet
from landslide_tf.models.unetpp import unetpp

# name: (block of the encoder, decoder)
MODELS = {
    "unet": (conv_block, unet),
    "resunet": (residual_block, resunet),
    "unetpp": (conv_block, unetpp),
}


def build_model(
    name: str,
    *,
    attention: str | Callable = "none",
    fusion: str = "early",
    filters: int = 64,
    dropout: float | Sequence[float] = 0.5,
    input_shape: tuple | None = None,
    deep_supervision: bool = False,
) -> keras.Model:
    """A model from float32 images (B, H, W, C) to float32 logits (B, H, W, 1).

    `keras.ops.sigmoid` turns the logits into probabilities. The model is a functional Keras model
    and is saved as one; what its `fit` adds is said in `landslide_tf.models.segmentation_model`.

    Args:
        name: 'unet', 'resunet' or 'unetpp'.
        attention: after every convolution of the encoder; 'none', 'spatial', 'contextual' or
            'spatial_contextual', or a function of your own: it takes a tensor (B, H, W, C) and a
            name for its layers, and returns a tensor of the same shape.
        fusion: 'early' stacks RGB and DEM, 'bottleneck' gives channels 0-2 and the rest an
            encoder each, 'rgb' has no DEM.
        filters: of the first level; they double at each of the four poolings.
        dropout: rate of the bottleneck, in [0, 1); or several rates, those of the bottleneck and
            of the levels above it. More than one spoils batch normalisation (see `encode`).
        input_shape: (H, W, C) without the batch; H and W divisible by 16 or None. Default
            (128, 128, 4), with 3 channels for 'rgb'. A model of open size (None, None, C) refuses
            images of other sizes when it is called.
        deep_supervision: 'unetpp' only: the model returns a list of the logits of all four
            heads, the final one first. `compile` and `fit` take one loss and one mask: the loss
            is the mean over the heads. `inference_model` keeps just the final head.

    Raises:
        InputError (a ValueError): an argument is not one of its legal values.

    >>> build_model("unetpp", attention="contextual", filters=4).output_shape
    (None, 128, 128, 1)
    >>> build_model("unett")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `model` must be one of 'unet', 'resunet', 'unetpp'. \
Received: 'unett'
    """
    check_choice("model", name, MODELS)
    attention_name, _ = find_attention(attention)
    check_choice("fusion", fusion, FUSIONS)
    if keras.config.image_data_format() != "channels_last":
        raise InputError(
            "images are (B, H, W, C): call keras.config.set_image_data_format('channels_last')"
        )
    if deep_supervision and name != "unetpp":
        raise InputError(f"`deep_supervision` needs model 'unetpp'. Received: {name!r}")
    filters, dropout = plain((filters, dropout))
    check_number("filters", filters, low=1, whole=True)
    rates = dropout if isinstance(dropout, tuple) else (dropout,)
    for rate in rates:
        check_number("dropout", rate, low=0, below=1)
    if len(rates) > LEVELS:
        raise InputError(f"`dropout` must have at most {LEVELS} rates. Received: {len(rates)}")
    if input_shape is None:
        input_shape = (128, 128, 3 if fusion == "rgb" else 4)
    input_shape = plain(tuple(input_shape))
    if len(input_shape) != 3:
        raise InputError(
            f"`input_shape` must be (height, width, channels). Received: {input_shape}"
        )
    height, width, channels = input_shape
    check_multiple(height, width)
    if not isinstance(channels, int) or channels < 1 or (fusion == "bottleneck" and channels < 4):
        raise InputError(f"`fusion` {fusion!r} cannot use {channels} input channels")

    block, decoder = MODELS[name]
    inputs = keras.Input((height, width, channels), name="image")
    features = encode_fused(
        inputs,
        fusion=fusion,
        block=block,
        filters=filters,
        attention=attention,
        dropout=rates,
    )
    logits = decoder(features, filters)
    label = name if attention_name == "none" else f"{name}_{attention_name}"
    return segmentation_model(inputs, logits if deep_supervision else logits[0], label)


def inference_model(model: keras.Model) -> keras.Model:
    """The same weights with the final logits as the one output (deep supervision dropped).

    >>> model = build_model("unetpp", input_shape=(32, 32, 4), filters=2, deep_supervision=True)
    >>> len(model.outputs), len(inference_model(model).outputs)
    (4, 1)
    """
    if len(model.outputs) == 1:
        return model
    return segmentation_model(model.inputs[0], model.outputs[0], model.name)
