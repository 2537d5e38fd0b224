import keras
import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.models.registry import build_model
from landslide_tf.models.weights import transfer_weights


def small(name="unet", size=32, channels=4, seed=0, **options):
    """A model in which no two weights of one place are equal between seeds."""
    keras.utils.set_random_seed(seed)
    model = build_model(name, **{"filters": 2, "input_shape": (size, size, channels), **options})
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.1, 0.2, w.shape) for w in model.get_weights()])
    return model


def weights(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


@pytest.mark.parametrize("name", ["unet", "unetpp"])
def test_another_input_size_copies_everything(name):
    source, model = small(name, seed=1), small(name, size=48, seed=2)
    done = transfer_weights(model, source)
    assert done.copied == list(weights(model))
    assert not (done.partly or done.left or done.unused)
    for a, b in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "channels", "source_channels"), [("unet", 4, 3), ("resunet", 6, 4), ("unet", 3, 4)]
)
def test_first_convolutions_share_the_channels_that_both_have(name, channels, source_channels):
    source = small(name, channels=source_channels, seed=1)
    model = small(name, channels=channels, seed=2)
    before, other = weights(model), weights(source)
    done = transfer_weights(model, source)
    first = ["encoder0_conv_shortcut"] if name == "resunet" else []
    assert sorted(done.partly) == sorted(["encoder0_conv1", *first])
    shared = min(channels, source_channels)
    for layer, after in weights(model).items():
        if layer not in done.partly:
            assert layer in done.copied
            for a, b in zip(after, other[layer], strict=True):
                np.testing.assert_array_equal(a, b)
            continue
        kernel = after[0]
        np.testing.assert_array_equal(kernel[:, :, :shared], other[layer][0][:, :, :shared])
        np.testing.assert_array_equal(kernel[:, :, shared:], before[layer][0][:, :, shared:])
        assert f"input channels 1 to {shared} of" in done.partly[layer]
    assert f"partly copied: {', '.join(done.partly)} (input channels 1 to" in str(done)


def test_what_does_not_fit_is_named_and_stays():
    source = small(attention="spatial", seed=1)
    model = small(attention="contextual", seed=2)
    before = weights(model)
    done = transfer_weights(model, source)
    assert "encoder0_conv1" in done.copied
    assert done.left["encoder0_attention1_channel_dense1"] == "the source has no such layer"
    assert "encoder0_attention1_conv" in done.unused
    after = weights(model)
    for name in done.left:
        for a, b in zip(after[name], before[name], strict=True):
            np.testing.assert_array_equal(a, b)
    assert sorted([*done.copied, *done.partly, *done.left]) == sorted(before)
    for text in ("initial weights: encoder0_attention1_channel_dense1", "not used of the source"):
        assert text in str(done)
    # a line each: copied, left for the one reason, unused
    assert len(str(done).splitlines()) == 3


def test_nothing_fits():
    model = small(filters=3, seed=2)
    # the bias of the head (1) and its kernel differ in shape with the filters: not a layer fits
    before = model.get_weights()
    with pytest.raises(InputError, match="no layer of model 'unet' fits.*filters"):
        transfer_weights(model, small(filters=2, seed=1))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_that_differ_are_told():
    x = keras.Input((4, 4, 1))
    h = keras.layers.Conv2D(2, 1, name="same")(x)
    model = keras.Model(x, keras.layers.Conv2D(3, 1, name="other")(h))
    source = keras.Model(x, keras.layers.Conv2D(5, 1, name="other")(h))
    done = transfer_weights(model, source)
    assert done.copied == ["same"]
    assert done.left == {"other": "shapes 1 x 1 x 2 x 3, 3, in the source 1 x 1 x 2 x 5, 5"}
