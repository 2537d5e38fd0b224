"""CBAM's attention (Woo et al. 2018), which the paper describes, as functions of Keras layers.

Functions, not custom layers: a saved model then loads wherever Keras is installed.
"""

from __future__ import annotations

from keras import layers, ops

REDUCTION = 16  # CBAM's: the perceptron's hidden layer has channels / 16 units
KERNEL_PX = 7  # CBAM's: spatial attention looks at 7 x 7 pixels


def spatial_attention(x, name: str):
    """Weigh every pixel: `x * sigmoid(conv7x7([mean_c(x), max_c(x)]))`, CBAM Eq. 3.

    x is (B, H, W, C), the result too. Channel maps are pooled along the channel axis.

    >>> import keras
    >>> x = keras.Input((8, 8, 4))
    >>> spatial_attention(x, "demo").shape
    (None, 8, 8, 4)
    """
    # (B, H, W, C) -> (B, H, W, 1), twice
    mean = ops.mean(x, axis=-1, keepdims=True)
    maximum = ops.max(x, axis=-1, keepdims=True)
    pooled = layers.Concatenate(name=f"{name}_pool")([mean, maximum])
    weight = layers.Conv2D(
        1, KERNEL_PX, padding="same", use_bias=False, activation="sigmoid", name=f"{name}_conv"
    )(pooled)
    return layers.Multiply(name=name)([x, weight])


def channel_attention(x, name: str):
    """Weigh every channel: `x * sigmoid(mlp(mean_hw(x)) + mlp(max_hw(x)))`, CBAM Eq. 2.

    x is (B, H, W, C), the result too. The two descriptors share one perceptron with
    C / 16 hidden units (at least 1).

    >>> import keras
    >>> x = keras.Input((8, 8, 4))
    >>> channel_attention(x, "demo").shape
    (None, 8, 8, 4)
    """
    channels = x.shape[-1]
    hidden = layers.Dense(max(1, channels // REDUCTION), activation="relu", name=f"{name}_dense1")
    output = layers.Dense(channels, name=f"{name}_dense2")
    # (B, H, W, C) -> (B, 1, 1, C)
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    maximum = layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}_max")(x)
    weight = layers.Add(name=f"{name}_add")([output(hidden(mean)), output(hidden(maximum))])
    weight = layers.Activation("sigmoid", name=f"{name}_sigmoid")(weight)
    return layers.Multiply(name=name)([x, weight])


def _contextual(x, name):
    """Channel attention, then spatial attention: CBAM's order."""
    return spatial_attention(channel_attention(x, f"{name}_channel"), f"{name}_spatial")


def _spatial_contextual(x, name):
    """Spatial attention, then contextual attention."""
    return _contextual(spatial_attention(x, f"{name}_first"), name)


def _none(x, name):
    return x


ATTENTION = {
    "none": _none,
    "spatial": spatial_attention,
    "contextual": _contextual,
    "spatial_contextual": _spatial_contextual,
}


def apply_attention(x, attention: str, name: str):
    """The attention called `attention` ('none' returns x) on x (B, H, W, C), same shape.

    >>> import keras
    >>> apply_attention(keras.Input((8, 8, 16)), "spatial_contextual", "att").shape
    (None, 8, 8, 16)
    """
    return ATTENTION[attention](x, name)
