"""U-Net++ (Zhou et al. 2018): nested, dense skip connections."""

from __future__ import annotations

from landslide_tf.models.blocks import head, up_block


def unetpp(features: list, filters: int) -> list:
    """Nodes X^{level,step} of the U-Net++ paper, Eq. 1; X^{level,0} are the encoder's features.

    node[level, step] reads node[level, 0 .. step-1] and node[level+1, step-1] upsampled.
    Returns logits of node[0, 4] first, then those of node[0, 1 .. 3] for deep supervision.

    >>> import keras
    >>> features = [keras.Input((64 // 2**i, 64 // 2**i, 4 * 2**i)) for i in range(5)]
    >>> [logits.shape for logits in unetpp(features, 4)]
    [(None, 64, 64, 1), (None, 64, 64, 1), (None, 64, 64, 1), (None, 64, 64, 1)]
    """
    depth = len(features) - 1
    node = {(level, 0): feature for level, feature in enumerate(features)}
    for step in range(1, depth + 1):
        for level in range(depth + 1 - step):
            node[level, step] = up_block(
                node[level + 1, step - 1],
                [node[level, k] for k in range(step)],
                filters * 2**level,
                f"node{level}_{step}",
            )
    heads = [head(node[0, depth])]
    return heads + [head(node[0, step], f"logits{step}") for step in range(1, depth)]
