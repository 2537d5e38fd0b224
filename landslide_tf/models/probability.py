"""From a model to probabilities: compiled once, and fast for any batch size."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.util import find_spec

import keras
import numpy as np

from landslide_tf.checks import InputError

PREDICT_BATCH = 8


class Predictor:
    """Probability of landslide from a model's input: x (B, H, W, C) float32 -> (B, H, W) float32.

    Keras' `predict` has an overhead at every call. On TensorFlow this class compiles the model once
    and avoids that overhead. The sigmoid turns logits into probabilities.

    >>> image = keras.Input((8, 8, 3))
    >>> predict = Predictor(keras.Model(image, keras.layers.Conv2D(1, 1)(image)))
    >>> predict(np.zeros((2, 8, 8, 3), "float32")).shape
    (2, 8, 8)
    """

    def __init__(self, model: keras.Model):
        if keras.backend.backend() != "tensorflow":
            self._logits = model.predict_on_batch
            return
        import tensorflow as tf

        signature = [tf.TensorSpec(model.input_shape, tf.float32)]
        self._logits = tf.function(lambda x: model(x, training=False), input_signature=signature)

    def __call__(self, x) -> np.ndarray:
        """See the class."""
        logits = np.asarray(self._logits(np.ascontiguousarray(x, "float32")), "float32")[..., 0]
        # exp of a negative number only: no overflow on either side
        e = np.exp(-np.abs(logits))
        return (np.where(logits >= 0, 1, e) / (1 + e)).astype("float32")


class OnnxPredictor:
    """`Predictor` for an exported `model.onnx`, in ONNX Runtime on the CPU.

    Raises:
        InputError: onnxruntime is not installed.
    """

    def __init__(self, path):
        if find_spec("onnxruntime") is None:
            raise InputError("runtime 'onnx' needs pip install -r requirements-export.txt")
        self._session = onnx_session(path)

    def __call__(self, x) -> np.ndarray:
        """See `Predictor`."""
        name = self._session.get_inputs()[0].name
        (probability,) = self._session.run(None, {name: np.ascontiguousarray(x, "float32")})
        return probability[..., 0]


def over_flips(predict: Callable) -> Callable:
    """A predictor that averages `predict` over the eight flips and quarter turns of square tiles.

    This is test-time augmentation. It takes eight times as long as `predict`.

    >>> left = over_flips(lambda x: x[..., 0] * (np.arange(4) < 2))  # sees the left half alone
    >>> left(np.ones((1, 4, 4, 1), "float32")).tolist()[0][0]
    [0.5, 0.5, 0.5, 0.5]
    """

    def averaged(x):
        total = np.zeros(x.shape[:3], "float32")
        for turns, flip in itertools.product(range(4), (False, True)):
            turned = np.rot90(x, turns, axes=(1, 2))
            p = predict(turned[:, :, ::-1] if flip else turned)
            total += np.rot90(p[:, :, ::-1] if flip else p, -turns, axes=(1, 2)) / 8
        return total

    return averaged


def onnx_session(path):
    """An ONNX Runtime session on the CPU for an exported model.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
