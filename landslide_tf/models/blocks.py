"""Blocks that all models share. Each takes a tensor (B, H, W, C) and a name and returns a tensor.

Layer names are built from the block's name, so that a layer can be found again:
`encoder3_conv2`, `encoder3_bn2`, `encoder3_relu2`, `encoder3_attention2`.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import layers

from landslide_tf.models.attention import apply_attention
from landslide_tf.models.normalisation import BatchNormalization

# Keras' default is 0.99. In our measurements the scores hardly differ, but with 0.99 the moving
# averages lag behind at the start of a training.
BN_MOMENTUM = 0.9


def conv_block(x, filters: int, name: str, attention: str | Callable = "none"):
    """Twice: 3 x 3 convolution, batch normalisation, ReLU, attention.

    >>> import keras
    >>> conv_block(keras.Input((32, 32, 4)), 8, "encoder0").shape
    (None, 32, 32, 8)
    """
    for i in (1, 2):
        x = _conv_bn(x, filters, 3, name, i)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
        x = apply_attention(x, attention, f"{name}_attention{i}")
    return x


def residual_block(x, filters: int, name: str, attention: str | Callable = "none"):
    """`conv_block` with a shortcut (1 x 1 convolution, BN) added before the last ReLU.

    The sum is taken before the last ReLU (He et al. 2016), so that a block can lower its input as
    well as raise it.

    >>> import keras
    >>> residual_block(keras.Input((32, 32, 4)), 8, "encoder0").shape
    (None, 32, 32, 8)
    """
    shortcut = _conv_bn(x, filters, 1, name, "_shortcut")
    x = _conv_bn(x, filters, 3, name, 1)
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = apply_attention(x, attention, f"{name}_attention1")
    x = _conv_bn(x, filters, 3, name, 2)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    x = layers.ReLU(name=f"{name}_relu2")(x)
    return apply_attention(x, attention, f"{name}_attention2")


def up_block(x, skips: list, filters: int, name: str, block: Callable = conv_block):
    """2 x 2 transposed convolution with stride 2, concatenation with the skips, then `block`.

    x is (B, H, W, C), each skip (B, 2H, 2W, any), the result (B, 2H, 2W, filters).

    >>> import keras
    >>> x, skip = keras.Input((8, 8, 32)), keras.Input((16, 16, 16))
    >>> up_block(x, [skip], 16, "decoder0").shape
    (None, 16, 16, 16)
    """
    x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(x)
    x = layers.Concatenate(name=f"{name}_concat")([*skips, x])
    return block(x, filters, name)


def head(x, name: str = "logits"):
    """1 x 1 convolution to logits, (B, H, W, 1), float32 under every dtype policy.

    >>> import keras
    >>> head(keras.Input((8, 8, 16))).shape
    (None, 8, 8, 1)
    """
    return layers.Conv2D(1, 1, dtype="float32", name=name)(x)


def _conv_bn(x, filters, kernel_px, name, i):
    # No bias: batch normalisation subtracts it again.
    x = layers.Conv2D(
        filters,
        kernel_px,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv{i}",
    )(x)
    return BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn{i}")(x)
