"""From a model to probabilities, compiled once a model."""

from __future__ import annotations

import numpy as np

PREDICT_BATCH = 8


def predict_probability(model, x):
    """Sigmoid of the model's logits: x (B, H, W, C) float32 -> (B, H, W) float32.

    By the fastest way that is exact: ONNX Runtime where `load_run` found an export of this very
    model, else a compiled function that any batch size can use.

    >>> from landslide_tf.runs.run import load_run
    >>> run = load_run("runs/first")
    >>> predict_probability(run.model, np.zeros((2, 32, 32, 4), "float32")).shape
    (2, 32, 32)
    """
    x = np.ascontiguousarray(x, "float32")
    session = vars(model).get("_landslide_onnx")
    if session is not None:
        (probability,) = session.run(None, {session.get_inputs()[0].name: x})
        return probability[..., 0]
    logits = np.asarray(_logits(model)(x), "float32")[..., 0]
    # exp of a negative number only: no overflow on either side
    e = np.exp(-np.abs(logits))
    return (np.where(logits >= 0, 1, e) / (1 + e)).astype("float32")


def _logits(model):
    """A function from input to logits, compiled once a model (`predict` pays per call)."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    if "_landslide_logits" not in vars(model):
        import tensorflow as tf

        signature = [tf.TensorSpec(model.input_shape, tf.float32)]
        compiled = tf.function(lambda x: model(x, training=False), input_signature=signature)
        # past Keras, which would take it for a part of the model to be saved
        object.__setattr__(model, "_landslide_logits", compiled)
    return vars(model)["_landslide_logits"]


def onnx_session(path):
    """An ONNX Runtime session on the CPU for an exported model.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
