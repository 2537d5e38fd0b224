"""Whether a model may run on larger images than it was trained on, and the model for them."""

from __future__ import annotations

import functools

import keras

from landslide_tf.models.probability import Predictor

# Layers whose output at a pixel depends on pixels nearby alone, whatever the size of the image.
LOCAL = ("Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D",
         "Conv2DTranspose", "DepthwiseConv2D", "Dropout", "InputLayer", "LeakyReLU", "MaxPooling2D",
         "Multiply", "ReLU", "SeparableConv2D", "SpatialDropout2D", "Subtract", "UpSampling2D",
         "ZeroPadding2D")  # fmt: skip
CHANNEL_AXES = (-1, 3, (-1,), (3,), [-1], [3])


def sees_locally(model: keras.Model) -> bool:
    """Whether the output at a pixel depends on nearby pixels only (a bounded receptive field).

    False for a model with channel attention (which takes a mean over the image), with group
    normalisation or with a layer that is not known here. `ops.mean` and `ops.max` over the
    channels, as in spatial attention, are allowed.

    >>> from landslide_tf.models.registry import build_model
    >>> options = {"filters": 2, "input_shape": (32, 32, 4)}
    >>> sees_locally(build_model("unet", attention="spatial", **options))
    True
    >>> sees_locally(build_model("unet", attention="contextual", **options))
    False
    """
    return all(_is_local(operation) for operation in model.operations)


def _is_local(operation) -> bool:
    name = type(operation).__name__
    if name in LOCAL:
        return True
    if name == "Functional":
        return sees_locally(operation)
    if name in ("Mean", "Max", "Softmax"):
        return operation.axis in CHANNEL_AXES
    if name == "GetItem":  # x[..., :3]
        keys = [node.arguments.args[1:] for node in operation._inbound_nodes]
        return all(len(key) == 1 and key[0][:-1] == (Ellipsis,) for key in keys)
    return False


@functools.lru_cache(maxsize=2)
def predictor_at(model: keras.Model, size_px: int) -> Predictor:
    """A `Predictor` of the same weights for images of `size_px` a side; see `sees_locally`.

    >>> import numpy as np
    >>> from landslide_tf.models.registry import build_model
    >>> model = build_model("unet", filters=2, input_shape=(32, 32, 3), fusion="rgb")
    >>> predictor_at(model, 64)(np.zeros((1, 64, 64, 3), "float32")).shape
    (1, 64, 64)
    """
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            batch, _, _, channels = layer["config"]["batch_shape"]
            layer["config"]["batch_shape"] = (batch, size_px, size_px, channels)
    larger = model.__class__.from_config(config)
    larger.set_weights(model.get_weights())
    return Predictor(larger)
