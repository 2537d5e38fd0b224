"""The paper's losses as their equations are written, in NumPy, and ours by name."""

from functools import partial

import numpy as np
import tensorflow as tf

from landslide_tf.losses import LOSS_CLASSES, bce_loss, dice_loss, focal_loss, wce_loss

WEIGHTS = (0.2, 1.8)
FUNCTIONS = {
    "bce": bce_loss,
    "focal": focal_loss,
    "dice": dice_loss,
    "wce": partial(wce_loss, weights=WEIGHTS),
}


def make_loss(name, **options):
    return LOSS_CLASSES[name](**({"weights": WEIGHTS} if name == "wce" else {}), **options)


def reference(name, y, z, w, *, a=0.25, b=2.0, class_balanced=False, smooth=1.0):
    """Eq. 1-4 of the paper as they are written, in float64."""
    y, z, w = (np.asarray(array, "float64") for array in (y, z, w))
    w = np.broadcast_to(w, z.shape)
    v = 1 / (1 + np.exp(-z))
    if name == "dice":
        return 1 - (2 * np.sum(w * y * v) + smooth) / (np.sum(w * y) + np.sum(w * v) + smooth)
    if name == "bce":
        pixel = -(y * np.log(v) + (1 - y) * np.log(1 - v))
    elif name == "focal":
        v_t = y * v + (1 - y) * (1 - v)
        a_t = np.where(y == 1, a, 1 - a) if class_balanced else a
        pixel = -a_t * (1 - v_t) ** b * np.log(v_t)
    else:  # Eq. 4: one-hot labels against the softmax of the logits (0, z)
        two_channels = np.stack([np.zeros_like(z), z], axis=-1)
        softmax = np.exp(two_channels) / np.exp(two_channels).sum(axis=-1, keepdims=True)
        one_hot = np.stack([1 - y, y], axis=-1)
        pixel = -np.sum(np.array(WEIGHTS) * one_hot * np.log(softmax), axis=-1)
    return np.sum(w * pixel) / np.sum(w)


def batch(rng, shape=(2, 5, 7, 1)):
    y = (rng.random(shape) < 0.3).astype("float32")
    z = rng.normal(0, 3, shape).astype("float32")
    return y, z


def gradient(function, y, z, w=None):
    z = tf.convert_to_tensor(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = function(y, z) if w is None else function(y, z, w)
    return float(value), tape.gradient(value, z).numpy()
