"""How much arithmetic a model takes."""

from __future__ import annotations

import math

from keras import layers


def forward_gmac(model) -> float:
    """Multiply-adds of convolutions and dense layers for one input, in 10^9 (1 GMAC = 2 GFLOP).

    Normalisation, activations and pooling are left out, as is usual: they are a few per cent.
    A training step takes about three times as much.

    Raises:
        ValueError: the model's input has no fixed height and width.

    >>> import keras
    >>> x = keras.Input((10, 10, 3))
    >>> model = keras.Model(x, keras.layers.Conv2D(8, 3, padding="same")(x))
    >>> round(1e9 * forward_gmac(model))  # 10 x 10 outputs of 3 x 3 x 3 x 8 products
    21600
    """
    return sum(_macs(layer) for layer in model.layers) / 1e9


def _macs(layer) -> int:
    if not isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose, layers.Dense)):
        return 0
    total = 0
    for node in layer._inbound_nodes:  # one a call: CBAM's perceptron is shared by two
        # a transposed convolution multiplies its kernel with every input, the others per output
        tensor = (
            node.input_tensors[0]
            if isinstance(layer, layers.Conv2DTranspose)
            else node.output_tensors[0]
        )
        places = tensor.shape[1:-1]
        if None in places:
            raise ValueError(f"{layer.name}: the size of its output is not fixed ({tensor.shape})")
        total += math.prod(places) * math.prod(layer.kernel.shape)
    return total
