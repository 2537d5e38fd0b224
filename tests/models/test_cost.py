import keras
import pytest
from keras import layers

from landslide_tf.models.cost import forward_gmac
from landslide_tf.training.batch_norm import reestimate_batch_norm


def macs(model):
    return round(1e9 * forward_gmac(model))


def test_each_kind_of_layer_by_hand():
    x = keras.Input((8, 6, 4))
    h = layers.Conv2D(8, 3, strides=2, padding="same")(x)  # 4 x 3 places x 3 x 3 x 4 x 8 = 3456
    h = layers.BatchNormalization()(h)
    h = layers.DepthwiseConv2D(3, padding="same")(h)  # 12 places x 3 x 3 x 8 = 864
    h = layers.SeparableConv2D(2, 3, padding="same")(h)  # 12 x (3 x 3 x 8 + 8 x 2) = 1056
    h = layers.Conv2D(4, 1, groups=2)(h)  # 12 places x 1 x 4 = 48
    h = layers.Conv2DTranspose(5, 2, strides=2)(h)  # 12 places of the input x 2 x 2 x 4 x 5 = 960
    h = layers.GlobalAveragePooling2D()(h)
    model = keras.Model(x, layers.Dense(7)(h))  # 1 place x 5 x 7 = 35
    assert macs(model) == 3456 + 864 + 1056 + 48 + 960 + 35


def test_a_layer_counts_as_often_as_this_model_calls_it():
    dense = layers.Dense(3, use_bias=False)
    x, other = keras.Input((5,)), keras.Input((5,))
    twice = keras.Model(x, dense(x) + dense(2 * x))
    once = keras.Model(other, dense(other))
    assert (macs(once), macs(twice)) == (15, 30)


def test_use_elsewhere_does_not_count(rng):
    x = keras.Input((4, 4, 1))
    h = layers.BatchNormalization()(layers.Conv2D(2, 1)(x))  # 16 places x 2
    model = keras.Model(x, h)
    assert macs(model) == 32
    reestimate_batch_norm(model, [rng.random((1, 4, 4, 1))])  # calls the layers in a clone
    clone = keras.models.clone_model(model, clone_function=lambda layer: layer)
    assert macs(model) == macs(clone) == 32


def test_models_in_models_and_in_a_row():
    row = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 1), layers.Conv2D(3, 1)])
    assert macs(row) == 16 * 2 + 16 * 6
    x = keras.Input((4, 4, 1))
    assert macs(keras.Model(x, row(x) + row(2 * x))) == 2 * 128


def test_open_size_has_no_cost():
    x = keras.Input((None, None, 1))
    with pytest.raises(ValueError, match="not fixed"):
        forward_gmac(keras.Model(x, layers.Conv2D(1, 1)(x)))
