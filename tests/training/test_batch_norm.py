"""Batch-normalisation statistics estimated anew, against numbers known by hand and by NumPy."""

import keras
import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.training.batch_norm import reestimate_batch_norm
from landslide_tf.training.scores import say_gap


def moving(layer):
    return (
        keras.ops.convert_to_numpy(layer.moving_mean),
        keras.ops.convert_to_numpy(layer.moving_variance),
    )


def test_statistics_of_known_numbers():
    x = keras.Input((2, 1, 1))
    model = keras.Model(x, keras.layers.BatchNormalization(name="bn")(x))
    # values 1, 3 | 5, 7: mean 4; squares of the distances 9 + 1 + 1 + 9 = 20 over 4 values: 5.
    # By the formula: mean of the variances (1 + 1) / 2 = 1, variance of the means 2 and 6 is 4.
    batches = np.array([1.0, 3.0, 5.0, 7.0], "float32").reshape(2, 1, 2, 1, 1)
    reestimate_batch_norm(model, batches)
    mean, variance = moving(model.get_layer("bn"))
    np.testing.assert_allclose(mean, [4.0], rtol=1e-6)
    np.testing.assert_allclose(variance, [5.0], rtol=1e-6)


def test_batches_of_different_size_weigh_by_their_values():
    x = keras.Input((1, 1, 1))
    model = keras.Model(x, keras.layers.BatchNormalization(name="bn")(x))
    values = np.array([0.0, 0.0, 0.0, 4.0], "float32").reshape(4, 1, 1, 1)
    reestimate_batch_norm(model, [values[:3], values[3:]])
    mean, variance = moving(model.get_layer("bn"))
    np.testing.assert_allclose(mean, [1.0], rtol=1e-6)  # 4 / 4, not (0 + 4) / 2
    np.testing.assert_allclose(variance, [3.0], rtol=1e-6)  # (1 + 1 + 1 + 9) / 4


def test_a_network_against_numpy(rng):
    """Two layers with a convolution and dropout between them; one batch holds all tiles."""
    x = keras.Input((4, 4, 3))
    h = keras.layers.BatchNormalization(name="first", momentum=0.9)(x)
    h = keras.layers.Dropout(0.5)(h)
    h = keras.layers.Conv2D(2, 1, name="conv", kernel_initializer="he_normal")(h)
    model = keras.Model(x, keras.layers.BatchNormalization(name="second")(h))
    weights = [keras.ops.convert_to_numpy(w) for w in model.trainable_variables]
    tiles = rng.normal(3, 2, (8, 4, 4, 3)).astype("float32")
    reestimate_batch_norm(model, [(tiles, "labels", "weights")])

    mean, variance = tiles.mean((0, 1, 2)), tiles.var((0, 1, 2))
    np.testing.assert_allclose(moving(model.get_layer("first"))[0], mean, rtol=1e-5)
    np.testing.assert_allclose(moving(model.get_layer("first"))[1], variance, rtol=1e-5)
    kernel = keras.ops.convert_to_numpy(model.get_layer("conv").kernel)[0, 0]  # (3, 2)
    after = ((tiles - mean) / np.sqrt(variance + 1e-3)) @ kernel  # no dropout, no scale yet
    np.testing.assert_allclose(
        moving(model.get_layer("second"))[0], after.mean((0, 1, 2)), atol=1e-5
    )
    np.testing.assert_allclose(
        moving(model.get_layer("second"))[1], after.var((0, 1, 2)), rtol=1e-4
    )
    # what training made stays: the weights and the momentum
    for before, variable in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(variable))
    assert model.get_layer("first").momentum == 0.9


def test_nothing_to_estimate_from():
    x = keras.Input((1, 1, 1))
    model = keras.Model(x, keras.layers.BatchNormalization()(x))
    with pytest.raises(InputError, match="empty"):
        reestimate_batch_norm(model, [])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_statistics_that_are_no_numbers_are_mended(broken):
    x = keras.Input((2, 1, 1))
    model = keras.Model(x, keras.layers.BatchNormalization(name="bn")(x))
    layer = model.get_layer("bn")
    layer.moving_mean.assign([broken])
    layer.moving_variance.assign([broken])
    values = np.array([1.0, 3.0], "float32").reshape(1, 2, 1, 1)  # mean 2, distances 1 and 1
    reestimate_batch_norm(model, [values])
    np.testing.assert_allclose(moving(layer), [[2.0], [1.0]], rtol=1e-6)


def test_a_failure_leaves_the_model_as_it_was():
    x = keras.Input((2, 1, 1))
    model = keras.Model(x, keras.layers.BatchNormalization(name="bn", momentum=0.7)(x))
    layer = model.get_layer("bn")
    layer.moving_mean.assign([5.0])
    values = np.ones((3, 2, 1, 1), "float32")

    def torn():
        yield values
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        reestimate_batch_norm(model, torn())
    with pytest.raises(InputError, match=r"batches.*\(None, 2, 1, 1\).*one of \(2, 1, 1\)"):
        reestimate_batch_norm(model, values)  # one batch, not a list of them
    np.testing.assert_array_equal(moving(layer), [[5.0], [1.0]])
    assert layer.momentum == 0.7


def test_a_frozen_layer_keeps_its_statistics():
    x = keras.Input((2, 1, 1))
    model = keras.Model(x, keras.layers.BatchNormalization(name="bn", trainable=False)(x))
    model.get_layer("bn").moving_mean.assign([5.0])
    reestimate_batch_norm(model, [np.zeros((3, 2, 1, 1), "float32")])
    np.testing.assert_array_equal(moving(model.get_layer("bn")), [[5.0], [1.0]])


def test_models_that_are_layers_of_others():
    """1, 3 and 5, 7 through dropout and two normalisations, in a model and in a sequence."""
    x = keras.Input((2, 1, 1))
    drop, first = keras.layers.Dropout(0.5), keras.layers.BatchNormalization(epsilon=1e-6)
    inner = keras.Model(x, first(drop(x)), name="inner")
    second = keras.layers.BatchNormalization()
    outer = keras.Sequential([x, inner, keras.layers.Rescaling(3.0, 2.0), second])
    batches = [np.array(pair, "float32").reshape(1, 2, 1, 1) for pair in ((1, 3), (5, 7))]
    reestimate_batch_norm(outer, batches)
    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5; within a batch, mean 2 and 6, variance 1
    assert [float(v[0]) for v in moving(first)] == pytest.approx([4, 5])
    # a batch is normalised to -1 and 1, times 3 plus 2: -1 and 5, mean 2, variance 9
    assert [float(v[0]) for v in moving(second)] == pytest.approx([2, 9], rel=1e-4)


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.normalise = keras.layers.BatchNormalization()

    def call(self, x):
        return self.normalise(x)


def test_a_call_of_its_own_is_refused():
    x = keras.Input((1, 1, 1))
    inner = Subclassed(name="inner")
    with pytest.raises(InputError, match="'inner' is a model with a `call` of its own"):
        reestimate_batch_norm(keras.Model(x, inner(x)), [np.ones((1, 1, 1, 1))])


@pytest.mark.parametrize(
    "gap, words",
    [
        (0.0199, None),
        (-0.0199, None),
        (0.03, "0.030 more with batch-normalisation statistics estimated anew; give --reest"),
        (-0.11, "0.110 less with batch-normalisation statistics estimated anew; the last batches"),
    ],
)
def test_a_gap_is_told_in_whichever_direction(gap, words, capsys):
    say_gap(train_miou=0.7, inference_gap=gap)
    text = capsys.readouterr().out
    assert words in text if words else not text
    assert not words or f"inference gap {gap:+.3f}: the model scores mIoU 0.700" in text
