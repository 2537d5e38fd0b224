"""The class of the models that `build_model` returns: a functional Keras model, easier to train."""

from __future__ import annotations

import functools
import math

import keras
from keras import ops

from landslide_tf.checks import InputError, check_multiple


def segmentation_model(inputs, outputs, name: str) -> keras.Model:
    """`keras.Model(inputs, outputs, name=name)` with checks and with additions to `fit`.

    - A model of open size refuses images whose height or width is not a multiple of 16.
    - With several outputs (deep supervision) and one mask, the loss in `fit` is the mean over all
      heads, and the metrics are those of the first head. A list of losses works as in Keras.
    - `fit(class_weight={0: w0, 1: w1})` weights the pixels in the loss by the class in the mask.
      Keras itself does not do this for arrays, nor together with sample weights. The metrics ignore
      these weights.
    - `fit` stops after the first step if the loss is not a number.
    - Two metrics that report a score under the same name are refused: Keras would drop one of them.

    A saved file or a pickle holds the plain functional model. It loads wherever Keras is installed,
    without this package and without these checks.

    >>> x = keras.Input((None, None, 3))
    >>> model = segmentation_model(x, keras.layers.Conv2D(1, 1)(x), "small")
    >>> model(ops.zeros((1, 100, 100, 3)))
    Traceback (most recent call last):
    landslide_tf.checks.InputError: height and width must be divisible by 16. Received 100 x 100; \
use 112 x 112
    """
    return _model_class()(inputs, outputs, name=name)


@functools.cache
def _model_class():
    """`_Segmentation` on top of Keras' class of functional models, under that class's name."""
    x = keras.Input((1,))
    functional = type(keras.Model(x, keras.layers.Identity()(x)))
    # The name is what a saved file holds: Keras reads it back as its own class.
    return type(
        functional.__name__, (_Segmentation, functional), {"__module__": functional.__module__}
    )


class _Segmentation:
    class_weight = None  # (background, landslide) during `fit`

    def __call__(self, inputs, *args, **kwargs):
        shape = getattr(keras.tree.flatten(inputs)[0], "shape", ())
        own = self.inputs[0].shape
        if len(shape) == len(own):
            height, width = (
                size if open_size is None else None
                for size, open_size in zip(shape[1:3], own[1:3], strict=True)
            )
            check_multiple(height, width)
        return super().__call__(inputs, *args, **kwargs)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        **options,
    ):
        options |= {
            "validation_split": validation_split,
            "validation_data": validation_data,
            # A tf.data.Dataset has its own order; Keras warns where it is asked to shuffle one.
            "shuffle": shuffle and not hasattr(x, "element_spec"),
        }
        weights = _class_weights(class_weight)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), _FirstLoss()]
        if weights is None:
            return super().fit(x, y, batch_size, epochs, verbose, callbacks, **options)
        # The compiled step has the weights in it, so it is made anew before and after.
        self.class_weight, self.train_function = weights, None
        try:
            return super().fit(x, y, batch_size, epochs, verbose, callbacks, **options)
        finally:
            self.class_weight, self.train_function = None, None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        several = isinstance(y_pred, (list, tuple)) and not isinstance(y, (list, tuple, dict))
        if training and self.class_weight is not None:
            if isinstance(y, (list, tuple, dict)):
                raise InputError("`class_weight` needs one mask, not one a head")
            sample_weight = _times_class_weight(sample_weight, y, self.class_weight)
        if not several:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        if isinstance(self.loss, (list, tuple, dict)):
            return super().compute_loss(x, [y] * len(y_pred), y_pred, sample_weight, training)
        losses = [
            super(_Segmentation, self).compute_loss(x, y, head, sample_weight, training)
            for head in y_pred
        ]
        return sum(losses) / len(losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if isinstance(y_pred, (list, tuple)) and not isinstance(y, (list, tuple, dict)):
            y_pred = y_pred[0]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self):
        results, seen = super().get_metrics_result(), set()
        for key, value in results.items():
            for name in value if isinstance(value, dict) else (key,):
                if name in seen:
                    raise InputError(
                        f"two metrics report {name!r}; give one of them another name, such as "
                        "SegmentationMetrics(0.3, name='low')"
                    )
                seen.add(name)
        return results

    def __reduce__(self):
        # A pickle names the class that reads it, and this one is made anew in each process.
        read, arguments = super().__reduce__()
        return getattr(keras.Model, read.__name__), arguments


class _FirstLoss(keras.callbacks.Callback):
    """Stops at once where the masks or images cannot be trained on."""

    async_safe = True

    def on_train_begin(self, logs=None):
        self.first = True

    def on_train_batch_end(self, batch, logs=None):
        if self.first and math.isnan((logs or {}).get("loss", 0.0)):
            raise InputError(
                "the loss of the first step is not a number. Masks must hold 0 and 1 "
                "(give `mask > 0` for 0 and 255), images finite numbers, and sample weights "
                "numbers from 0 on"
            )
        self.first = False


def _class_weights(class_weight) -> tuple[float, float] | None:
    if class_weight is None:
        return None
    legal = isinstance(class_weight, dict) and set(class_weight) <= {0, 1}
    weights = tuple(float(class_weight.get(i, 1.0)) for i in (0, 1)) if legal else (math.nan,)
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise InputError(
            "`class_weight` must be {0: weight of background, 1: weight of landslide}. "
            f"Received: {class_weight!r}"
        )
    return weights


def _times_class_weight(sample_weight, y, class_weight):
    """Pixel weights (B, H, W, 1): each class's weight, times `sample_weight` of any shape."""
    y = ops.cast(y, "float32")
    if len(y.shape) == 3:
        y = ops.expand_dims(y, -1)
    w0, w1 = class_weight
    weight = ops.where(y > 0.5, w1, w0)
    if sample_weight is None:
        return weight
    sample_weight = ops.cast(sample_weight, "float32")
    while len(sample_weight.shape) < len(y.shape):
        sample_weight = ops.expand_dims(sample_weight, -1)
    return weight * sample_weight
