import math

import keras
import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.config import ATTENTIONS
from landslide_tf.models.attention import (
    ATTENTION,
    apply_attention,
    channel_attention,
    register_attention,
    spatial_attention,
)
from landslide_tf.models.registry import build_model

LN3 = math.log(3)  # sigmoid(ln 3) = 3/4


def model_of(function, shape=(2, 2, 2)):
    x = keras.Input(shape)
    return keras.Model(x, function(x))


def set_weights(model, layer, *weights):
    model.get_layer(layer).set_weights([np.array(weight, "float32") for weight in weights])


def set_taps(model, layer, taps):
    """A 7 x 7 kernel of zeros but for {(row, column, map): weight}; map 0: mean, 1: maximum."""
    kernel = np.zeros((7, 7, 2, 1))
    for (row, column, pooled), weight in taps.items():
        kernel[row, column, pooled, 0] = weight
    set_weights(model, layer, kernel)  # and no bias


def test_channel_attention_by_hand():
    model = model_of(lambda x: channel_attention(x, "a"))
    set_weights(model, "a_dense1", [[1], [-0.5]], [-1])
    set_weights(model, "a_dense2", [[0.2, -0.4]], [0.1, 0.3])
    first = [[[1, 0], [2, 0]], [[3, 0], [6, 4]]]
    second = [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]
    # First image: mean (3, 1), maximum (6, 4).
    #   hidden: relu(3 - 0.5 - 1) = 1.5 and relu(6 - 2 - 1) = 3
    #   output: (0.3 + 0.1, -0.6 + 0.3) = (0.4, -0.3) and (0.6 + 0.1, -1.2 + 0.3) = (0.7, -0.9)
    #   weights: sigmoid(1.1) = 0.750260, sigmoid(-1.2) = 0.231475
    # Second image: mean and maximum (0, 1); hidden: relu(-0.5 - 1) = 0, twice;
    #   output (0.1, 0.3), twice; weights: sigmoid(0.2) = 0.549834, sigmoid(0.6) = 0.645656
    expected = np.array([first, second]) * np.array(
        [[[[0.750260, 0.231475]]], [[[0.549834, 0.645656]]]]
    )
    np.testing.assert_allclose(model(np.array([first, second], "float32")), expected, rtol=1e-5)


@pytest.mark.parametrize(("channels", "hidden"), [(4, 1), (16, 1), (32, 2), (64, 4)])
def test_channel_attention_reduces_by_sixteen(channels, hidden):
    model = model_of(lambda x: channel_attention(x, "a"), (2, 2, channels))
    assert model.get_layer("a_dense1").kernel.shape == (channels, hidden)
    assert model.get_layer("a_dense2").kernel.shape == (hidden, channels)


def test_spatial_attention_by_hand():
    model = model_of(lambda x: spatial_attention(x, "a"))
    # mean - maximum of the pixel itself + half the mean of its right neighbour (0 outside)
    set_taps(model, "a_conv", {(3, 3, 0): 1, (3, 3, 1): -1, (3, 4, 0): 0.5})
    x = np.array([[[[1, 3], [0, 2]], [[4, 0], [2, 2]]]], "float32")
    # means     2  1    maxima  3  2    2 - 3 + 0.5 = -0.5    1 - 2 + 0 = -1
    #           2  2            4  2    2 - 4 + 1   = -1      2 - 2 + 0 = 0
    # sigmoid(-0.5) = 0.377541, sigmoid(-1) = 0.268941, sigmoid(0) = 0.5
    weight = np.array([[[[0.377541], [0.268941]], [[0.268941], [0.5]]]])
    np.testing.assert_allclose(model(x), x * weight, rtol=1e-5)


def test_spatial_attention_reaches_three_pixels():
    model = model_of(lambda x: spatial_attention(x, "a"), (9, 9, 1))
    set_taps(model, "a_conv", {(0, 0, 1): LN3})
    x = np.ones((1, 9, 9, 1), "float32")
    # The corner tap reads the pixel 3 up and 3 left: sigmoid(ln 3) there, sigmoid(0) at the border.
    weight = np.full((1, 9, 9, 1), 0.5)
    weight[:, 3:, 3:] = 0.75
    np.testing.assert_allclose(model(x), weight, rtol=1e-5)


def set_channel_weights(model, name):
    """Channel weights (1/2, 3/4) whatever the input: each bias counts twice in the sum."""
    hidden = model.get_layer(f"{name}_dense1").get_weights()
    set_weights(model, f"{name}_dense1", *(np.zeros_like(weight) for weight in hidden))
    set_weights(model, f"{name}_dense2", [[0, 0]], [0, LN3 / 2])


def test_contextual_attention_is_channel_then_spatial():
    model = model_of(lambda x: apply_attention(x, "contextual", "a"), (1, 1, 2))
    set_channel_weights(model, "a_channel")
    set_taps(model, "a_spatial_conv", {(3, 3, 0): 2, (3, 3, 1): -2})
    # (4, 4) * (1/2, 3/4) = (2, 3); then 2 * 2.5 - 2 * 3 = -1, sigmoid(-1) = 0.268941.
    # The other order: 2 * 4 - 2 * 4 = 0, (4, 4) / 2 = (2, 2), then (1, 1.5).
    result = model(np.full((1, 1, 1, 2), 4.0, "float32"))
    np.testing.assert_allclose(np.ravel(result), [0.537883, 0.806824], rtol=1e-5)


def test_spatial_contextual_attention_is_spatial_then_contextual():
    model = model_of(lambda x: apply_attention(x, "spatial_contextual", "a"), (1, 1, 2))
    set_taps(model, "a_first_conv", {(3, 3, 0): LN3 / 4})
    set_channel_weights(model, "a_channel")
    set_taps(model, "a_spatial_conv", {(3, 3, 0): 2, (3, 3, 1): -2})
    # 4 ln 3 / 4 = ln 3: (4, 4) * 3/4 = (3, 3); * (1/2, 3/4) = (1.5, 2.25);
    # 2 * 1.875 - 2 * 2.25 = -0.75, sigmoid(-0.75) = 0.320821: (0.481232, 0.721848)
    result = model(np.full((1, 1, 1, 2), 4.0, "float32"))
    np.testing.assert_allclose(np.ravel(result), [0.481232, 0.721848], rtol=1e-5)


def test_every_attention_of_the_options_exists():
    assert tuple(ATTENTION) == ATTENTIONS


def test_no_attention_is_the_tensor_itself():
    x = keras.Input((4, 4, 2))
    assert apply_attention(x, "none", "a") is x


def gate(x, name):
    """An attention of the user's own."""
    weight = keras.layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_gate")(x)
    return keras.layers.Multiply(name=name)([x, weight])


@pytest.fixture
def own_names(monkeypatch):
    monkeypatch.setattr("landslide_tf.models.attention.ATTENTION", dict(ATTENTION))


@pytest.mark.parametrize("registered", [False, True])
def test_attention_of_the_users_own(own_names, registered):
    if registered:
        register_attention("gate", gate)
        register_attention("gate", gate)  # a notebook's cell run twice
    model = build_model(
        "unet", attention="gate" if registered else gate, filters=2, input_shape=(16, 16, 4)
    )
    assert model.name == "unet_gate"
    gates = [layer.name for layer in model.layers if layer.name.endswith("_gate")]
    assert gates == [f"encoder{level}_attention{i}_gate" for level in range(5) for i in (1, 2)]


def test_a_function_without_a_name():
    model = build_model("unet", attention=lambda x, name: x, filters=2, input_shape=(16, 16, 4))
    assert model.name == "unet_own"


@pytest.mark.parametrize("result", [lambda x: x[..., :1], lambda x: None, lambda x: [x, x]])
def test_an_attention_that_changes_the_shape(result):
    with pytest.raises(InputError, match=r"attention 'own'.*its input's shape, \(None, 8, 8, 4\)"):
        apply_attention(keras.Input((8, 8, 4)), lambda x, name: result(x), "a")


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("spatial", gate, "'spatial' exists"),
        ("a b", gate, "word"),
        ("", gate, "word"),
        ("mine", "spatial", "function of"),
    ],
)
def test_illegal_registrations(own_names, name, function, message):
    with pytest.raises(InputError, match=message):
        register_attention(name, function)


def test_the_error_lists_what_is_registered(own_names):
    register_attention("gate", gate)
    with pytest.raises(InputError, match="'spatial_contextual', 'gate', a function.*'gates'"):
        build_model("unet", attention="gates")
