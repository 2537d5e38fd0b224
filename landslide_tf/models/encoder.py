"""The encoder of all models: five levels of blocks with four 2 x 2 max poolings between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keras import layers

LEVELS = 5  # level 0 is full resolution, level 4 the bottleneck


def encode(
    x,
    *,
    block: Callable,
    filters: int,
    attention: str | Callable,
    dropout: Sequence[float],
    name: str = "encoder",
) -> list:
    """Feature maps of levels 0 to 4; level i is (B, H / 2^i, W / 2^i, filters * 2^i).

    `dropout` holds one rate per level, from the bottleneck upwards. One rate puts dropout after the
    block of the bottleneck, the end of the contracting path, where Ronneberger et al. (2015) name
    it. With two rates, the dropout of level 3 precedes the batch normalisation of level 4, which
    then sees another variance in training than in inference (Li et al. 2018, arXiv 1801.05134):
    the model predicts too few landslides.

    >>> import keras
    >>> from landslide_tf.models.blocks import conv_block
    >>> x = keras.Input((64, 64, 4))
    >>> [f.shape[1:] for f in encode(x, block=conv_block, filters=4, attention="none", dropout=())]
    [(64, 64, 4), (32, 32, 8), (16, 16, 16), (8, 8, 32), (4, 4, 64)]
    """
    features = []
    for level in range(LEVELS):
        if level > 0:
            x = layers.MaxPooling2D(2, name=f"{name}{level}_pool")(x)
        x = block(x, filters * 2**level, f"{name}{level}", attention)
        if level >= LEVELS - len(dropout) and (rate := dropout[LEVELS - 1 - level]) > 0:
            x = layers.Dropout(rate, name=f"{name}{level}_dropout")(x)
        features.append(x)
    return features


def encode_fused(x, *, fusion: str, **options) -> list:
    """`encode` on the stacked input, or two encoders whose levels are concatenated.

    x is (B, H, W, C). With fusion 'bottleneck', channels 0-2 (RGB) and the rest (DEM, terrain)
    have an encoder each, and skips and bottleneck are concatenated level by level; otherwise
    ('early', 'rgb') one encoder reads all channels.

    >>> import keras
    >>> from landslide_tf.models.blocks import conv_block
    >>> x = keras.Input((64, 64, 4))
    >>> options = dict(filters=4, block=conv_block, attention="none", dropout=())
    >>> [f.shape[-1] for f in encode_fused(x, fusion="early", **options)]
    [4, 8, 16, 32, 64]
    >>> [f.shape[-1] for f in encode_fused(x, fusion="bottleneck", **options)]
    [8, 16, 32, 64, 128]
    """
    if fusion != "bottleneck":
        return encode(x, **options)
    rgb = encode(x[..., :3], name="encoder_rgb", **options)
    dem = encode(x[..., 3:], name="encoder_dem", **options)
    return [
        layers.Concatenate(name=f"fusion{level}")(pair)
        for level, pair in enumerate(zip(rgb, dem, strict=True))
    ]
