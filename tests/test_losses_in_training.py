"""The losses in Keras' own `compile` and `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from losses_by_hand import FUNCTIONS, batch, gradient, make_loss, reference

from landslide_tf.checks import InputError
from landslide_tf.losses import BCELoss


def one_convolution(loss, **options):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(1, 1)])
    model.compile(keras.optimizers.SGD(0.1), loss=loss, jit_compile=False, **options)
    return model


@pytest.mark.parametrize(
    ("reduction", "run_eagerly"),
    [(None, False), ("none", False), ("sum", False), ("mean", False), ("mean", True)],
)
def test_every_reduction_trains(rng, reduction, run_eagerly):
    model = one_convolution(BCELoss(reduction=reduction), run_eagerly=run_eagerly)
    x = rng.normal(size=(4, 4, 4, 3)).astype("float32")
    y = (x[..., 0] > 0).astype("uint8")
    history = model.fit(x, y, sample_weight=np.ones(4), epochs=4, batch_size=2, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_masks_of_255_train_to_nan_and_not_to_a_negative_loss(rng):
    x = rng.normal(size=(4, 4, 4, 3)).astype("float32")
    y = (x[..., 0] > 0).astype("uint8") * 255
    assert np.isnan(one_convolution(BCELoss()).fit(x, y, verbose=0).history["loss"]).all()
    with pytest.raises(InputError, match="Received values from 0 to 255"):
        one_convolution(BCELoss(), run_eagerly=True).fit(x, y, verbose=0)


@pytest.mark.parametrize("name", ["bce", "dice"])
def test_training_weighs_pixels(rng, name):
    x = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    y, _ = batch(rng, (2, 4, 4, 1))
    w = rng.choice([0, 0.5, 2], y.shape).astype("float32")
    model = one_convolution(make_loss(name))
    kernel, bias = model.get_weights()
    z = x @ kernel[0, 0] + bias
    history = model.fit(tf.data.Dataset.from_tensors((x, y, w)), shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(reference(name, y, z, w), rel=1e-5)
    # one step of gradient descent, by the gradient of the loss of the logits
    _, grad = gradient(FUNCTIONS[name], y, z, w)
    step = np.tensordot(x, grad[..., 0], axes=((0, 1, 2), (0, 1, 2)))
    moved = kernel[0, 0, :, 0] - model.get_weights()[0][0, 0, :, 0]
    np.testing.assert_allclose(moved, 0.1 * step, atol=1e-7)
