import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from landslide_tf.models.model_file import load_model, save_model
from landslide_tf.models.normalisation import BatchNormalization
from landslide_tf.models.registry import build_model


def test_one_step_by_hand():
    layer = BatchNormalization(momentum=0.9, epsilon=1e-3)
    x = np.array([1.0, 3.0, 5.0, 7.0], "float32").reshape(1, 2, 2, 1)
    out = np.asarray(layer(x, training=True)).ravel()
    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    assert out == pytest.approx((x.ravel() - 4) / np.sqrt(5.001), rel=1e-5)
    assert np.asarray(layer.moving_mean) == pytest.approx([0.4], rel=1e-5)
    assert np.asarray(layer.moving_variance) == pytest.approx([0.9 + 0.5], rel=1e-5)
    assert np.asarray(layer(x)).ravel() == pytest.approx(
        (x.ravel() - 0.4) / np.sqrt(1.401), rel=1e-5
    )


def test_one_pixel_a_channel_has_no_variance():
    layer = BatchNormalization(momentum=0.9)
    out = layer(np.full((1, 1, 1, 2), 3.0, "float32"), training=True)
    assert np.asarray(out).ravel() == pytest.approx([0, 0], abs=1e-6)
    assert np.asarray(layer.moving_variance) == pytest.approx([0.9, 0.9])


# bfloat16 has 8 bits: Keras' result is rounded once, and so is the fused one
@pytest.mark.parametrize(
    "policy, tolerance", [("float32", 1e-4), ("mixed_bfloat16", 2e-2), ("mixed_float16", 4e-3)]
)
def test_forward_backward_and_averages_are_those_of_keras(policy, tolerance):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(2, 3, (2, 8, 6, 5)), "float32")
    weight = tf.constant(rng.normal(0, 1, x.shape), "float32")
    results = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(momentum=0.9, dtype=policy)
        layer.build(x.shape)
        layer.gamma.assign([0.5, 1.0, 1.5, 2.0, 2.5])
        layer.beta.assign([-1.0, 0.0, 1.0, 2.0, 3.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(out, "float32") * weight)
        assert out.dtype == layer.compute_dtype
        gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
        results.append([out, *gradients, layer.moving_mean, layer.moving_variance])
    for keras_own, fused in zip(*results, strict=True):
        keras_own, fused = (np.asarray(keras.ops.cast(v, "float32")) for v in (keras_own, fused))
        scale = np.abs(keras_own).max()
        assert np.abs(fused - keras_own).max() <= tolerance * scale


def test_frozen_and_other_options_follow_keras():
    x = np.random.default_rng(0).normal(2, 3, (2, 4, 4, 3)).astype("float32")
    frozen = BatchNormalization()
    frozen.build(x.shape)
    frozen.trainable = False
    frozen(x, training=True)
    assert np.all(np.asarray(frozen.moving_mean) == 0)
    for options in ({"scale": False}, {"center": False}, {"axis": 1}):
        ours, keras_own = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
        assert np.allclose(ours(x, training=True), keras_own(x, training=True), atol=1e-5)


def test_a_saved_model_holds_keras_own_layer(tmp_path):
    model = build_model("unet", filters=2, input_shape=(32, 32, 3), fusion="rgb")
    assert any(type(layer) is BatchNormalization for layer in model.layers)
    save_model(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = json.loads(archive.read("config.json"))
    found = [layer for layer in config["config"]["layers"] if "Batch" in layer["class_name"]]
    assert {layer["module"] for layer in found} == {"keras.layers"}
    assert {layer["class_name"] for layer in found} == {"BatchNormalization"}
    opened = load_model(tmp_path / "m.keras")
    assert not any(type(layer) is BatchNormalization for layer in opened.layers)
    x = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    assert np.array_equal(model.predict(x, verbose=0), opened.predict(x, verbose=0))


@pytest.mark.slow
def test_saved_by_keras_a_model_opens_without_this_package(tmp_path):
    x = keras.Input((4, 4, 3))
    keras.Model(x, BatchNormalization(name="bn")(x)).save(tmp_path / "m.keras")
    code = (
        "import keras, sys; m = keras.saving.load_model(sys.argv[1]); "
        "assert type(m.get_layer('bn')) is keras.layers.BatchNormalization; "
        "assert 'landslide_tf' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.keras"], check=True, cwd=tmp_path)
