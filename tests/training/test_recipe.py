"""What a recipe adds to plain training: averaged weights, scores over flips, float16."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.models.model_file import load_model
from landslide_tf.training import evaluation, recipe
from landslide_tf.training import fit as training


class Steps(keras.callbacks.Callback):
    """Keeps the weights after each step."""

    def on_train_begin(self, logs=None):
        self.seen, self.validated = [], None

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([np.array(v) for v in self.model.trainable_variables])

    def on_test_begin(self, logs=None):
        self.validated = [np.array(v) for v in self.model.trainable_variables]


@pytest.mark.slow
def test_the_average_of_the_weights_is_validated_and_kept(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, epochs=1, ema=0.75)
    steps = Steps()
    folder = training.fit(config, tmp_path / "run", callbacks=[steps])
    assert len(steps.seen) > 1
    average = steps.seen[0]  # begins as the weights after the first step
    for weights in steps.seen[1:]:
        average = [0.75 * a + 0.25 * w for a, w in zip(average, weights, strict=True)]
    kept = load_model(folder / "model.keras").trainable_variables
    for a, v, w in zip(average, kept, steps.validated, strict=True):
        np.testing.assert_allclose(np.array(v), a, atol=1e-6)
        np.testing.assert_allclose(w, a, atol=1e-6)
    assert any(np.abs(a - w).max() > 1e-4 for a, w in zip(average, steps.seen[-1], strict=True))


@pytest.mark.slow
def test_runs_that_flip_tiles_are_also_scored_over_flips(tiny_config, tmp_path, monkeypatch):
    calls, baseline = [], evaluation.threshold_baseline
    monkeypatch.setattr(
        evaluation, "threshold_baseline", lambda *parts: calls.append(parts) or baseline(*parts)
    )
    config = dataclasses.replace(tiny_config, epochs=1, augment=("flips",))
    metrics = json.loads((training.fit(config, tmp_path / "run") / "metrics.json").read_text())
    assert set(metrics["flips"]) == {"validation", "test", "test_chosen", "thresholds"}
    test = metrics["flips"]["test"]
    assert test["tp"] + test["fp"] + test["fn"] + test["tn"] == 2 * 32 * 32
    assert test["auc"] != metrics["test"]["auc"]
    assert len(calls) == 1  # the baselines are those of the tiles, whatever the model does


@pytest.mark.slow
def test_float16_trains_with_a_scaled_loss(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "gpu_available", lambda: True)
    config = dataclasses.replace(tiny_config, epochs=2, batch_size=4, mixed_precision="on")
    scales = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: scales.append(float(watch.model.optimizer.dynamic_scale))
    )
    folder = training.fit(config, tmp_path / "run", callbacks=[watch])
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["dtype_policy"] == "mixed_float16"
    assert len(scales) == 2 and min(scales) > 1  # Keras starts at 2^15 and halves it at overflow
    assert all(v.dtype == "float32" for v in load_model(folder / "model.keras").weights)
    losses = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)["loss"]
    assert np.isfinite(losses).all() and losses[1] < losses[0]


@keras.saving.register_keras_serializable("tests")
class OwnNormalisation(keras.Model):
    """A model with a `call` of its own, whose statistics cannot be estimated anew."""

    def __init__(self, **options):
        super().__init__(**options)
        self.normalise = keras.layers.BatchNormalization()

    def build(self, shape):
        self.normalise.build(shape)

    def call(self, x, training=None):
        return self.normalise(x, training=training)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "with a call of its own"])
def test_an_own_model_is_scored_whatever_it_calls_as_a_layer(kind, tiny_config, tmp_path, capsys):
    x = keras.Input((32, 32, 4))
    inner = keras.Model(x, keras.layers.BatchNormalization()(x), name="backbone")
    if kind != "functional":
        inner = OwnNormalisation(name="backbone")
    model = keras.Model(x, keras.layers.Conv2D(1, 3, padding="same")(inner(x)))
    config = dataclasses.replace(tiny_config, epochs=1)
    folder = training.fit(config, tmp_path / "run", model=model)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["tp"] + metrics["test"]["fn"] > 0
    out, known = capsys.readouterr().out, kind == "functional"
    assert (metrics["batch_norm"] is not None) == known
    assert ("the inference gap is not known: 'backbone' is a model" not in out) == known
    assert ("with the moving averages of batch normalisation: 'backbone'" not in out) == known


def test_an_own_model_may_end_in_a_model_with_a_call_of_its_own():
    x = keras.Input((32, 32, 4))
    ends = keras.Model(x, OwnNormalisation()(keras.layers.Conv2D(1, 1)(x)))
    assert not training._ends_in_sigmoid(ends)


def one_convolution(shape=(32, 32, 4), **options):
    x = keras.Input(shape)
    return keras.Model(x, keras.layers.Conv2D(1, 1, **options)(x))


def with_an_activation_layer():
    model = one_convolution()
    return keras.Model(model.inputs, keras.layers.Activation("sigmoid")(model.outputs[0]))


def nested():
    x = keras.Input((32, 32, 4))
    return keras.Model(x, one_convolution(activation="sigmoid")(x))


def with_an_operation():
    model = one_convolution()
    return keras.Model(model.inputs, keras.ops.sigmoid(model.outputs[0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "unet", "functional Keras model.*'unet'"),
        (lambda: OwnNormalisation(), "functional Keras model"),
        (lambda: keras.Sequential([keras.layers.Conv2D(1, 1)]), "Sequential one with a keras.Inp"),
        (lambda: one_convolution((32, 32, 3)), r"takes \(32, 32, 3\), the tiles are \(32, 32, 4"),
        (lambda: one_convolution(activation="sigmoid"), "ends in a sigmoid"),
        (with_an_activation_layer, "ends in a sigmoid"),
        (with_an_operation, "ends in a sigmoid"),
        (nested, "ends in a sigmoid"),
    ],
)
def test_own_models_that_cannot_be_trained_are_refused(make, message, tiny_config, tmp_path):
    with pytest.raises(InputError, match=message):
        training.fit(tiny_config, tmp_path / "run", model=make())
    assert not (tmp_path / "run").exists()


def test_what_is_no_config_and_no_callback_is_refused(tiny_config, tmp_path):
    with pytest.raises(InputError, match="must be a TrainConfig.*'unet'"):
        training.fit({"model": "unet"}, tmp_path / "run")
    with pytest.raises(InputError, match="must be Keras callbacks.*print"):
        training.fit(tiny_config, tmp_path / "run", callbacks=[print])
    assert not (tmp_path / "run").exists()


def test_one_callback_without_a_list(tiny_config, tmp_path):
    steps, config = Steps(), dataclasses.replace(tiny_config, epochs=1)
    training.fit(config, tmp_path / "run", callbacks=steps, model=one_convolution())
    assert len(steps.seen) == 2  # eight tiles in batches of four
