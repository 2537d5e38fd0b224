"""One contract over the whole registry; a new model or attention costs no new test."""

import os
import re
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from conftest import model_pairs
from landslide_tf import config
from landslide_tf.checks import InputError
from landslide_tf.losses import BCELoss, bce_loss
from landslide_tf.models import build_model
from landslide_tf.models.registry import MODELS, inference_model

# layers of one attention: 7 x 7 convolutions, fully connected layers
ATTENTION_LAYERS = {
    "none": (0, 0),
    "spatial": (1, 0),
    "contextual": (1, 2),
    "spatial_contextual": (2, 2),
}
ENCODER_CONVOLUTIONS = [(level, i) for level in range(5) for i in (1, 2)]


def small(name, size=(32, 32), channels=4, **options):
    return build_model(name, filters=4, input_shape=(*size, channels), **options)


def images(shape=(2, 32, 32, 4), seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def producer(tensor):
    """The layer or operation whose output the tensor is."""
    return tensor._keras_history.operation


def names(model):
    return {layer.name for layer in model.layers}


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.fixture(scope="module", params=model_pairs())
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def attention(pair):
    return pair[1]


@pytest.fixture(scope="module")
def trained(pair):
    """A model, a batch, and the gradients of one training pass, which moves its statistics."""
    keras.utils.set_random_seed(1)
    model = small(pair[0], attention=pair[1])
    for layer in layers_of(model, layers.Dense):
        if layer.name.endswith("_dense1"):
            # The input is never negative, so the hidden unit stays alive with a positive kernel;
            # with a random one it is dead, and without gradient, in half of the cases.
            layer.kernel.assign(keras.ops.abs(layer.kernel))
    x = images()
    y = (images((2, 32, 32, 1), seed=1) < 0.3).astype("float32")
    with tf.GradientTape() as tape:
        loss = bce_loss(y, model(x, training=True))
    return model, x, tape.gradient(loss, model.trainable_variables)


def test_registry_has_the_options_of_the_configuration():
    assert tuple(MODELS) == config.MODELS


def test_logits_are_one_float32_channel(trained):
    model, x, _ = trained
    logits = model(x)
    assert logits.shape == (2, 32, 32, 1)
    assert logits.dtype == "float32"
    assert producer(model.outputs[0]).activation is keras.activations.linear
    assert float(keras.ops.std(logits)) > 0


def test_every_weight_has_a_gradient(trained):
    model, _, gradients = trained
    assert len(gradients) > 0
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.any(gradient), weight.path


def test_saved_model_reloads_without_custom_objects(trained, tmp_path):
    model, x, _ = trained
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_layers_are_keras_own(trained):
    model, *_ = trained
    assert not layers_of(model, layers.Lambda)
    assert {type(layer).__module__.partition(".")[0] for layer in model.layers} == {"keras"}


def test_attention_follows_every_encoder_convolution(trained, attention):
    model, *_ = trained
    spatial = [c for c in layers_of(model, layers.Conv2D) if c.kernel_size == (7, 7)]
    dense = layers_of(model, layers.Dense)
    per_convolution = ATTENTION_LAYERS[attention]
    expected = tuple(count * len(ENCODER_CONVOLUTIONS) for count in per_convolution)
    assert (len(spatial), len(dense)) == expected
    for level, i in ENCODER_CONVOLUTIONS:
        prefix = f"encoder{level}_attention{i}"
        found = [sum(layer.name.startswith(prefix) for layer in kind) for kind in (spatial, dense)]
        assert tuple(found) == per_convolution, prefix


def test_attention_comes_after_the_activation(trained, attention):
    model, *_ = trained
    for level in range(5):
        second = producer(model.get_layer(f"encoder{level}_conv2").input)
        if level < 4:
            after = producer(model.get_layer(f"encoder{level + 1}_pool").input)
        else:
            up = "decoder3_up" if "decoder3_up" in names(model) else "node3_1_up"
            after = producer(model.get_layer(up).input)
        if level == 4:
            assert after.name == f"encoder{level}_dropout"
            after = producer(after.input)
        for i, last in ((1, second), (2, after)):
            if attention == "none":
                assert last.name == f"encoder{level}_relu{i}"
            else:
                assert isinstance(last, layers.Multiply)
                assert last.name.startswith(f"encoder{level}_attention{i}")


def test_layer_names_follow_the_level(trained, attention):
    model, *_ = trained
    for level, i in ENCODER_CONVOLUTIONS:
        for part in ("conv", "bn", "relu"):
            layer = model.get_layer(f"encoder{level}_{part}{i}")
            assert layer.output.shape[1:] == (32 >> level, 32 >> level, 4 << level)
    assert producer(model.outputs[0]).name == "logits"
    assert model.name.endswith(attention) or attention == "none"


def test_batch_normalisation_and_dropout(trained):
    model, *_ = trained
    normalisations = layers_of(model, layers.BatchNormalization)
    assert normalisations
    assert {layer.momentum for layer in normalisations} == {0.9}
    dropout = {layer.name: layer.rate for layer in layers_of(model, layers.Dropout)}
    assert dropout == {"encoder4_dropout": 0.5}


def test_rates_of_dropout_count_from_the_bottleneck():
    def dropouts(**options):
        layers_found = layers_of(small("unet", **options), layers.Dropout)
        return {layer.name: layer.rate for layer in layers_found}

    assert dropouts(dropout=()) == dropouts(dropout=0.0) == {}
    assert dropouts(dropout=0.3) == {"encoder4_dropout": 0.3}
    assert dropouts(dropout=(0.5, 0.2)) == {"encoder3_dropout": 0.2, "encoder4_dropout": 0.5}
    assert dropouts(dropout=[0, np.float32(0.25)]) == {"encoder3_dropout": 0.25}
    both = {"encoder_rgb4_dropout": 0.5, "encoder_dem4_dropout": 0.5}
    assert dropouts(fusion="bottleneck") == both
    with pytest.raises(InputError, match="`dropout` must have at most 5 rates. Received: 6"):
        small("unet", dropout=[0.1] * 6)


@pytest.mark.parametrize(
    ("name", "million"), [("unet", 31.05), ("resunet", 32.45), ("unetpp", 36.18)]
)
def test_parameter_counts_at_full_width(name, million):
    assert build_model(name).count_params() / 1e6 == pytest.approx(million, abs=0.005)


def test_parameter_count_of_the_smallest_unet():
    # One filter: F = 1, 2, 4, 8, 16 per level. A batch normalisation has 4 numbers a channel.
    # Encoder level, from P channels: 9 P F + 9 F F + 8 F
    #   0: 36 + 9 + 8 = 53     1: 18 + 36 + 16 = 70     2: 72 + 144 + 32 = 248
    #   3: 288 + 576 + 64 = 928     4: 1152 + 2304 + 128 = 3584     sum 4883
    # Decoder level: 2 x 2 from 2F to F with bias, 8 F F + F, then 27 F F (2F to F, F to F) + 8 F
    #   3: 520 + 1728 + 64 = 2312     2: 132 + 432 + 32 = 596     1: 34 + 108 + 16 = 158
    #   0: 9 + 27 + 8 = 44     sum 3110.     Head: 1 + 1 = 2.
    model = build_model("unet", filters=1, input_shape=(16, 16, 4))
    assert model.count_params() == 4883 + 3110 + 2


def test_unetpp_nodes_read_all_earlier_nodes_of_their_level():
    model = small("unetpp", dropout=0.0)

    def output(level, step):
        return f"encoder{level}_relu2" if step == 0 else f"node{level}_{step}_relu2"

    nodes = {name for name in names(model) if re.fullmatch(r"node\d_\d_concat", name)}
    assert len(nodes) == 4 + 3 + 2 + 1
    for level, step in [(0, s) for s in (1, 2, 3, 4)] + [(1, 3), (2, 1), (2, 2), (3, 1)]:
        name = f"node{level}_{step}"
        joined = [producer(x).name for x in model.get_layer(f"{name}_concat").input]
        assert joined == [output(level, k) for k in range(step)] + [f"{name}_up"]
        assert producer(model.get_layer(f"{name}_up").input).name == output(level + 1, step - 1)
    assert producer(model.get_layer("logits").input).name == "node0_4_relu2"


@pytest.mark.parametrize("name", ["unet", "resunet"])
def test_unet_decoder_joins_skip_and_level_below(name):
    model = small(name, dropout=0.0)
    for level in range(4):
        joined = [producer(x).name for x in model.get_layer(f"decoder{level}_concat").input]
        assert joined == [f"encoder{level}_relu2", f"decoder{level}_up"]
        below = "encoder4_relu2" if level == 3 else f"decoder{level + 1}_relu2"
        assert producer(model.get_layer(f"decoder{level}_up").input).name == below
        assert (f"decoder{level}_add" in names(model)) == (name == "resunet")


@pytest.mark.parametrize("name", config.MODELS)
def test_any_size_divisible_by_sixteen(name):
    free = build_model(name, filters=4, input_shape=(None, None, 4))
    fixed = small(name, size=(48, 64))
    fixed.set_weights(free.get_weights())
    x = images((1, 48, 64, 4))
    assert free.output_shape == (None, None, None, 1)
    np.testing.assert_allclose(free(x), fixed(x), atol=1e-5)


@pytest.mark.slow
def test_bottleneck_fusion_has_two_encoders(tmp_path):
    model = small("unet", channels=5, fusion="bottleneck", attention="contextual")
    kernels = {
        part: model.get_layer(f"encoder_{part}0_conv1").kernel.shape for part in ("rgb", "dem")
    }
    assert kernels == {"rgb": (3, 3, 3, 4), "dem": (3, 3, 2, 4)}
    for level in range(5):
        joined = model.get_layer(f"fusion{level}").input
        assert [producer(x).name.partition(str(level))[0] for x in joined] == [
            "encoder_rgb",
            "encoder_dem",
        ]
    x = images((1, 32, 32, 5))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)


def test_bottleneck_encoders_read_their_own_channels():
    model = small("unet", channels=5, fusion="bottleneck")
    features = keras.Model(
        model.inputs[0],
        [model.get_layer(f"encoder_{part}0_conv1").output for part in ("rgb", "dem")],
    )
    x = images((1, 32, 32, 5))
    for channel in range(5):
        changed = x.copy()
        changed[..., channel] += 1
        moved = [not np.allclose(a, b) for a, b in zip(features(x), features(changed), strict=True)]
        assert moved == [channel < 3, channel >= 3]


def test_default_input_shapes():
    assert build_model("unet", filters=1).input_shape == (None, 128, 128, 4)
    assert build_model("unet", filters=1, fusion="rgb").input_shape == (None, 128, 128, 3)
    assert build_model("unet", filters=1, fusion="bottleneck").input_shape == (None, 128, 128, 4)


def test_deep_supervision_has_four_outputs_and_inference_one():
    model = small("unetpp", deep_supervision=True)
    x = images()
    outputs = model(x)
    assert [output.shape for output in outputs] == [(2, 32, 32, 1)] * 4
    assert [producer(head.input).name for head in map(producer, model.outputs)] == [
        f"node0_{step}_relu2" for step in (4, 1, 2, 3)
    ]
    final = inference_model(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logits = final(x)
    np.testing.assert_allclose(logits, outputs[0], atol=1e-6)
    assert final.output_shape == (None, 32, 32, 1)
    assert not any(layer.name.startswith("logits") for layer in final.layers[:-1])
    assert inference_model(final) is final


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "unett"}, "`model` must be one of 'unet', 'resunet', 'unetpp'.*'unett'"),
        (
            {"attention": "cbam"},
            "'none', 'spatial', 'contextual', 'spatial_contextual', a function.*Received: 'cbam'",
        ),
        ({"fusion": "late"}, "`fusion` must be one of 'early', 'bottleneck', 'rgb'.*'late'"),
        ({"deep_supervision": True}, "deep_supervision.*'unetpp'"),
        ({"filters": 0}, "filters.*at least 1.*0"),
        ({"filters": 2.5}, "filters.*whole number.*2.5"),
        ({"dropout": 1.0}, "dropout.*below 1.*1.0"),
        ({"dropout": -0.1}, "dropout.*at least 0.*-0.1"),
        ({"dropout": [0.5, 1.5]}, "dropout.*below 1.*1.5"),
        ({"dropout": "0.5"}, "dropout.*at least 0.*'0.5'"),
        ({"input_shape": (250, 256, 4)}, "divisible by 16.*250 x 256.*256 x 256"),
        ({"input_shape": (64, 40, 4)}, "divisible by 16.*64 x 40.*64 x 48"),
        ({"input_shape": (None, 8, 4)}, "divisible by 16.*None x 8.*None x 16"),
        ({"input_shape": (64, 64, 3), "fusion": "bottleneck"}, "'bottleneck'.*3 input channels"),
        ({"input_shape": (64, 64, 0)}, "0 input channels"),
        ({"input_shape": (64, 64, None)}, "None input channels"),
    ],
)
def test_errors_name_the_legal_values(options, message):
    with pytest.raises(ValueError, match=message):
        build_model(**{"name": "unet", "filters": 4, **options})


def test_numbers_of_numpy_are_as_good_as_pythons():
    shape = np.array([16, 32, 3])
    model = build_model("unet", filters=np.int64(1), dropout=np.float32(0), input_shape=shape)
    assert model.output_shape == (None, 16, 32, 1)


@pytest.fixture
def bfloat16():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("name", config.MODELS)
def test_mixed_precision_keeps_float32_logits(bfloat16, name):
    model = small(name, attention="spatial_contextual")
    assert model.get_layer("encoder0_conv1").compute_dtype == "bfloat16"
    logits = model(images())
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


@pytest.mark.slow
def test_export_to_saved_model_keeps_the_logits(trained, tmp_path):
    model, x, _ = trained
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(x), model(x), atol=1e-5)


LOAD_WITHOUT_THE_PACKAGE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "landslide_tf":
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
import keras
import numpy as np

model = keras.saving.load_model("model.keras", compile=False)
logits = keras.ops.convert_to_numpy(model(np.load("x.npy")))
np.save(f"{keras.backend.backend()}.npy", logits)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a model after a few steps and its input `x.npy`; the logits."""
    folder = tmp_path_factory.mktemp("saved")
    keras.utils.set_random_seed(0)
    model = small("unetpp", attention="spatial_contextual")
    model.compile(keras.optimizers.Adam(1e-3), loss=BCELoss(), run_eagerly=True)
    x = images()
    y = (x[..., :1] < 0.3).astype("float32")
    data = tf.data.Dataset.from_tensors((x, y)).repeat(5)
    model.fit(data, shuffle=False, verbose=0)
    model.save(folder / "model.keras")
    np.save(folder / "x.npy", x)
    return folder, model(x)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "tolerance"), [("tensorflow", 1e-6), ("jax", 1e-4)])
def test_saved_model_loads_without_the_package(saved, backend, tolerance):
    pytest.importorskip(backend)
    folder, logits = saved
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["KERAS_BACKEND"] = backend
    command = [sys.executable, "-c", LOAD_WITHOUT_THE_PACKAGE]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    np.testing.assert_allclose(np.load(folder / f"{backend}.npy"), logits, atol=tolerance)
