"""U-Net (Ronneberger et al. 2015) and, with residual blocks, ResUNet."""

from __future__ import annotations

from landslide_tf.models.blocks import conv_block, head, residual_block, up_block


def unet(features, filters: int, block=conv_block):
    """Decoder over the encoder's five feature maps; returns a list with one logits tensor."""
    x = features[-1]
    for level in reversed(range(len(features) - 1)):
        x = up_block(x, [features[level]], filters * 2**level, f"decoder{level}", block)
    return [head(x)]


def resunet(features, filters: int):
    """U-Net's decoder with residual blocks, as in the encoder that feeds it."""
    return unet(features, filters, residual_block)
