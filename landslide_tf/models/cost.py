"""How much arithmetic a model takes."""

from __future__ import annotations

import math

import keras
from keras import layers

PER_OUTPUT = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)


def forward_gmac(model: keras.Model) -> float:
    """Multiply-adds of convolutions and dense layers for one input, in 10^9 (1 GMAC = 2 GFLOP).

    Normalisation, activations and pooling are left out, as is usual: they are a few per cent.
    A layer counts as often as this model calls it. A training step takes about three times as much.

    Raises:
        ValueError: the model's input has no fixed height and width.

    >>> import keras
    >>> x = keras.Input((10, 10, 3))
    >>> model = keras.Model(x, keras.layers.Conv2D(8, 3, padding="same")(x))
    >>> round(1e9 * forward_gmac(model))  # 10 x 10 outputs of 3 x 3 x 3 x 8 products
    21600
    """
    return _macs(model) / 1e9


def _macs(model) -> int:
    # The config lists the calls that belong to this model; a layer knows those of others too.
    config = keras.Model(model.inputs, model.outputs).get_config()
    layer_of = {layer.name: layer for layer in model.layers}  # without bare operations
    return sum(
        _call_macs(layer_of.get(entry["name"]), call["args"])
        for entry in config["layers"]
        for call in entry["inbound_nodes"]
    )


def _call_macs(layer, arguments) -> int:
    """Multiply-adds of one call of a layer, whose arguments are as in the model's config."""
    if isinstance(layer, keras.Model):
        return _macs(layer)
    transposed = isinstance(layer, layers.Conv2DTranspose)
    if not transposed and not isinstance(layer, PER_OUTPUT):
        return 0
    shape = tuple(arguments[0]["config"]["shape"])
    # a transposed convolution multiplies its kernel with every input, the others per output
    places = (shape if transposed else layer.compute_output_shape(shape))[1:-1]
    if None in places:
        raise ValueError(f"{layer.name}: the size of its output is not fixed ({shape})")
    return math.prod(places) * sum(math.prod(w.shape) for w in layer.weights if len(w.shape) > 1)
