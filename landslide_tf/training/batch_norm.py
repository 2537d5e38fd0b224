"""Batch-normalisation statistics estimated anew from training tiles (PreciseBN)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

import keras
import numpy as np

from landslide_tf.checks import InputError


def reestimate_batch_norm(model: keras.Model, batches: Iterable) -> None:
    """Set the moving statistics of all batch-normalisation layers to those of `batches`.

    Wu and Johnson (2021), arXiv 2105.07576, call this PreciseBN. The batches run through the model
    with every layer in inference mode except batch normalisation, which normalises with the
    statistics of the batch. So dropout is off, and no weight changes. With n_b values a channel in
    batch b, mean m_b and variance v_b, the new statistics are those of all values together:

        mean = sum(n_b m_b) / sum(n_b)
        variance = sum(n_b v_b) / sum(n_b) + sum(n_b (m_b - mean)^2) / sum(n_b)

    Use it where the moving averages of training do not fit inference, for instance because dropout
    comes before batch normalisation (Li et al. 2018, arXiv 1801.05134). Give batches of one size
    without augmentation; a few hundred tiles in batches of 16 are enough. A frozen layer
    (`trainable = False`) keeps its statistics, except that NaN and infinity become 0. The function
    works on every Keras backend.

    Args:
        model: a functional Keras model; a model without batch normalisation stays as it is.
        batches: inputs (B, H, W, C), or tuples whose first item is the input, as a
            `tf.data.Dataset` for `fit` gives them.

    Raises:
        InputError: no batch, one array in place of batches, or batch normalisation inside a model
            with a `call` of its own. The model is then unchanged.

    >>> from landslide_tf.models.registry import build_model
    >>> model = build_model("unet", filters=2, input_shape=(32, 32, 4))
    >>> reestimate_batch_norm(model, [np.ones((2, 32, 32, 4), "float32")])
    >>> abs(float(model.get_layer("encoder0_bn1").moving_variance[0])) < 0.5
    True
    """
    batch_norm_estimator(model)(batches)


def batch_norm_estimator(model: keras.Model) -> Callable[[Iterable], None]:
    """`reestimate_batch_norm` for one model, prepared once for repeated use.

    >>> from landslide_tf.models.registry import build_model
    >>> estimate = batch_norm_estimator(build_model("unet", filters=2, input_shape=(32, 32, 4)))
    >>> estimate([np.ones((2, 32, 32, 4), "float32")])
    """
    normalisers = _batch_norm_layers(model)
    running = _inference_but_batch_norm(model)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        running = tf.function(running, reduce_retracing=True)

    def estimate(batches):
        before = [
            (layer.momentum, _numpy(layer.moving_mean), _numpy(layer.moving_variance))
            for layer in normalisers
        ]
        counts, means, variances = [], [], []
        try:
            for layer, (_, mean, variance) in zip(normalisers, before, strict=True):
                layer.momentum = 0.0  # the moving statistics become those of the last batch
                _set(layer, _finite(mean), _finite(variance))  # 0 x NaN would be NaN
            for batch in batches:
                x = batch[0] if isinstance(batch, (tuple, list)) else batch
                if len(x.shape) != len(model.inputs[0].shape):
                    raise InputError(
                        f"`batches` must be a list or dataset of batches, each of shape "
                        f"{tuple(model.inputs[0].shape)}. Received one of {tuple(x.shape)}"
                    )
                running(x)
                counts.append(int(x.shape[0]))
                means.append([_numpy(layer.moving_mean) for layer in normalisers])
                variances.append([_numpy(layer.moving_variance) for layer in normalisers])
            if not counts:
                raise InputError("`batches` is empty; give at least one batch of training tiles")
        except BaseException:
            for layer, (_, *statistics) in zip(normalisers, before, strict=True):
                _set(layer, *statistics)
            raise
        finally:
            for layer, (momentum, *_) in zip(normalisers, before, strict=True):
                layer.momentum = momentum
        share = np.array(counts, "float64") / sum(counts)
        for i, layer in enumerate(normalisers):
            mean_of = np.stack([batch[i] for batch in means])  # (batches, channels)
            variance_of = np.stack([batch[i] for batch in variances])
            mean = share @ mean_of
            _set(layer, mean, share @ variance_of + share @ np.square(mean_of - mean))

    return estimate


def _batch_norm_layers(model) -> list:
    """The batch-normalisation layers of a model and of the models that it calls as layers."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer)
        elif isinstance(layer, keras.Model) and (inside := _batch_norm_layers(layer)):
            if not isinstance(layer, keras.Sequential) and not hasattr(layer, "operations"):
                raise InputError(
                    f"{layer.name!r} is a model with a `call` of its own and has batch "
                    "normalisation; make it of Keras' functional API"
                )
            found += inside
    return found


def _inference_but_batch_norm(model) -> keras.Model:
    """The same layers called in inference mode, batch normalisation in training mode."""
    if not isinstance(model, keras.Sequential):
        return keras.models.clone_model(
            model, clone_function=lambda layer: layer, call_function=_call
        )
    x = inputs = keras.Input(batch_shape=model.input_shape)
    for layer in model.layers:
        x = _call(layer, x)
    return keras.Model(inputs, x)


def _call(layer, *args, **kwargs):
    if isinstance(layer, keras.layers.BatchNormalization):
        kwargs["training"] = True
    elif isinstance(layer, keras.Model) and _batch_norm_layers(layer):
        return _inference_but_batch_norm(layer)(*args)
    elif "training" in inspect.signature(layer.call).parameters:
        kwargs["training"] = False
    return layer(*args, **kwargs)


def _set(layer, mean, variance) -> None:
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)


def _finite(values) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)


def _numpy(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype("float64")
