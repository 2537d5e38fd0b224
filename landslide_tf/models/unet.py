"""U-Net (Ronneberger et al. 2015) and, with residual blocks, ResUNet."""

from __future__ import annotations

from collections.abc import Callable

from landslide_tf.models.blocks import conv_block, head, residual_block, up_block


def unet(features: list, filters: int, block: Callable = conv_block) -> list:
    """Decoder over the encoder's five feature maps; returns a list with one logits tensor.

    >>> import keras
    >>> features = [keras.Input((64 // 2**i, 64 // 2**i, 4 * 2**i)) for i in range(5)]
    >>> [logits.shape for logits in unet(features, 4)]
    [(None, 64, 64, 1)]
    """
    x = features[-1]
    for level in reversed(range(len(features) - 1)):
        x = up_block(x, [features[level]], filters * 2**level, f"decoder{level}", block)
    return [head(x)]


def resunet(features: list, filters: int) -> list:
    """U-Net's decoder with residual blocks, as in the encoder that feeds it.

    >>> import keras
    >>> features = [keras.Input((64 // 2**i, 64 // 2**i, 4 * 2**i)) for i in range(5)]
    >>> [logits.shape for logits in resunet(features, 4)]
    [(None, 64, 64, 1)]
    """
    return unet(features, filters, residual_block)
