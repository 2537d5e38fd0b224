"""Model files: what may be opened, what may not, and other versions of Keras."""

import io
import itertools
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers, ops

from landslide_tf.checks import InputError
from landslide_tf.models import model_file
from landslide_tf.models.model_file import check_config, check_model_file, load_model, save_model
from landslide_tf.models.registry import build_model


def rewrite(source, target, change=None, members=None):
    """A `.keras` file with its configuration changed, and with members replaced or added."""
    with zipfile.ZipFile(source) as old:
        content = {name: old.read(name) for name in old.namelist()}
    if change:
        config = json.loads(content["config.json"])
        config = change(config) or config
        content["config.json"] = config if isinstance(config, str) else json.dumps(config)
    content |= members or {}
    with zipfile.ZipFile(target, "w") as new:
        for name, value in content.items():
            if value is not None:
                new.writestr(name, value)
    return target


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model file with a convolution that has an activation and a regulariser."""
    path = tmp_path_factory.mktemp("small") / "model.keras"
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2", name="conv")(x)
    save_model(keras.Model(x, y), path)
    return path


@pytest.fixture
def unopened(monkeypatch):
    """Keras must not even be asked."""
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("was opened"))


def named(module, name, config=None, registered=None):
    return {
        "module": module,
        "class_name": name,
        "config": {} if config is None else config,
        "registered_name": registered,
    }


# --- what opens --------------------------------------------------------------------------------

OF_OURS = [
    *itertools.product(
        ("unet", "resunet", "unetpp"),
        ("none", "spatial", "contextual", "spatial_contextual"),
        ("early", "bottleneck", "rgb"),
        (False,),
    ),
    ("unetpp", "contextual", "bottleneck", True),
]


@pytest.mark.parametrize(("name", "attention", "fusion", "deep"), OF_OURS)
def test_every_model_of_ours_passes(name, attention, fusion, deep):
    model = build_model(name, attention=attention, fusion=fusion, filters=1, deep_supervision=deep)
    check_config(json.loads(model.to_json()), "model")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_saved_and_loaded_it_is_the_same_model(policy, tmp_path, rng):
    keras.config.set_dtype_policy(policy)
    try:
        model = build_model(
            "unetpp", attention="contextual", fusion="bottleneck", filters=2,
            input_shape=(None, None, 4), deep_supervision=True,
        )  # fmt: skip
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile("adam", "mse")
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert not again.compiled
    assert [layer.name for layer in again.layers if isinstance(layer, layers.Conv2D)] == [
        layer.name for layer in model.layers if isinstance(layer, layers.Conv2D)
    ]
    x = rng.random((1, 32, 32, 4)).astype("float32")
    for got, want in zip(again(x), model(x), strict=True):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def own_model():
    """A user's model: many kinds of layer, operations on tensors, a nested model called twice."""
    x = inputs = keras.Input((16, 16, 4))
    x = layers.Rescaling(0.5)(x)
    x = layers.SeparableConv2D(4, 3, padding="same", activation="gelu")(x)
    x = layers.GroupNormalization(2)(layers.LayerNormalization()(x))
    x = layers.PReLU(shared_axes=[1, 2])(layers.UpSampling2D()(x))
    x = layers.Activation(keras.activations.silu)(layers.Resizing(16, 16)(x))
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_regularizer="l2")(x)
    x = ops.concatenate([ops.relu(x) + 1.0, x[..., :1] * 2], axis=-1)
    x = layers.Dense(3, kernel_constraint="max_norm")(x)
    nested = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(3, 1), layers.LeakyReLU()])
    x = nested(x) + nested(ops.flip(x, axis=1))
    x = layers.SpatialDropout2D(0.1, seed=3)(x)
    start = keras.initializers.TruncatedNormal(stddev=0.1, seed=keras.random.SeedGenerator(3))
    return keras.Model(inputs, layers.Conv2D(1, 1, kernel_initializer=start)(x))


def test_a_model_of_plain_keras_layers_opens(tmp_path, rng):
    model = own_model()
    x = rng.random((2, 16, 16, 4)).astype("float32")
    save_model(model, tmp_path / "ours.keras")
    model.save(tmp_path / "plain.keras")  # as another program would write it
    for path in (tmp_path / "ours.keras", tmp_path / "plain.keras"):
        np.testing.assert_array_equal(np.asarray(load_model(path)(x)), np.asarray(model(x)))


@pytest.mark.parametrize("name", ["MobileNetV3Small", "ConvNeXtTiny"])
def test_backbones_of_keras_pass(name):
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    check_config(json.loads(model.to_json()), name)


def test_every_listed_class_exists_in_keras():
    """A slip of the pen in a list would refuse a good model."""
    lists = {
        layers: model_file.LAYERS,
        keras.initializers: model_file.INITIALIZERS,
        keras.activations: model_file.ACTIVATIONS,
        keras.regularizers: model_file.CLASSES["keras.regularizers"],
        keras.constraints: model_file.CLASSES["keras.constraints"],
    }
    for module, names in lists.items():
        assert not [name for name in names if not hasattr(module, name)], module
        for name in names - model_file.ACTIVATIONS:
            assert isinstance(getattr(module, name), type)


@keras.saving.register_keras_serializable("model_file_test")
class Twice(layers.Layer):
    def call(self, x):
        return 2 * x


def test_a_class_that_the_program_registered_opens(tmp_path, monkeypatch):
    x = keras.Input((4, 4, 1))
    save_model(keras.Model(x, Twice()(x)), tmp_path / "model.keras")
    assert float(load_model(tmp_path / "model.keras")(np.ones((1, 4, 4, 1)))[0, 0, 0, 0]) == 2
    monkeypatch.delitem(keras.saving.get_custom_objects(), "model_file_test>Twice")
    with pytest.raises(InputError, match=r"Twice \(model_file_test>Twice\).*register it first"):
        load_model(tmp_path / "model.keras")
    with pytest.raises(InputError, match="Twice"):  # and it is not written either
        save_model(keras.Model(x, Twice()(x)), tmp_path / "other.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


# --- what does not -----------------------------------------------------------------------------

HOSTILE = [
    named("keras.layers", "Lambda"),
    named(None, "__lambda__", {"value": ["", None, None]}),
    named("keras.layers", "TFSMLayer", {"filepath": "x"}),
    named("keras.layers", "TorchModuleWrapper"),
    named("keras.layers", "JaxLayer"),
    named("keras.layers", "FlaxLayer"),
    named("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    named("keras.layers", "IntegerLookup", {"vocabulary": "/etc/passwd"}),
    named("keras.layers", "TextVectorization", {"vocabulary": "/etc/passwd"}),
    named("keras.src.layers.core.lambda_layer", "Lambda"),
    named("keras.src.layers", "Conv2D"),
    named("keras.src.ops.numpy", "Vectorize"),
    named("keras.src.ops.core", "Map"),
    named("keras.utils", "get_file", {"origin": "http://127.0.0.1/"}),
    named("keras.models", "load_model"),
    named("keras.callbacks", "LambdaCallback"),
    named("os", "system"),
    named("kerasevil", "Layer"),
    named("keras_hub.layers", "Thing"),
    named("keras.layers", "Conv2D", {}, "Other>Conv2D"),
    named(None, "Conv2D"),
    named("builtins", "function", "eval", "eval"),
    named("builtins", "function", "relu", "eval"),
    named("os", "function", "system", "system"),
    named("keras.config", "function", "enable_unsafe_deserialization", None),
    named("keras.utils", "function", "get_file", "get_file"),
    named("keras.src.utils.file_utils", "function", "get_file", "get_file"),
    named("keras.activations", "function", "deserialize", "deserialize"),
    {"class_name": "Lambda", "config": {}},  # as in files of Keras 2, without a module
    {"class_name": "__typespec__", "spec_name": "x", "module": "tensorflow", "config": []},
    {"class_name": ["Conv2D"], "module": "keras.layers", "config": {}},
    {"class_name": {"class_name": "Conv2D"}, "module": "keras.layers", "config": {}},
]
PLACES = {
    "layer": lambda model, evil: model["config"]["layers"][1].update(evil),
    "activation": lambda model, evil: conv(model).update(activation=evil),
    "regulariser of a list": lambda model, evil: conv(model).update(
        kernel_regularizer={"a": [{"b": evil}]}
    ),
    "argument of a call": lambda model, evil: model["config"]["layers"][1]["inbound_nodes"].append(
        {"args": [evil], "kwargs": {}}
    ),
    "build": lambda model, evil: model.update(build_config={"input_shape": evil}),
    "whole model": lambda model, evil: model.update(evil),
}


def conv(model):
    return model["config"]["layers"][1]["config"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("evil", HOSTILE, ids=lambda e: f"{e.get('module')}.{e['class_name']}")
def test_code_is_refused_before_keras_sees_it(evil, place, small, tmp_path, unopened):
    def change(model):
        PLACES[place](model, evil)

    path = rewrite(small, tmp_path / "evil.keras", change)
    with pytest.raises(InputError, match="evil.keras: ") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    name = evil["config"] if evil["class_name"] == "function" else evil["class_name"]
    if isinstance(name, str):
        assert f"{name}" in str(caught.value) and "asks for" in str(caught.value)
    with pytest.raises(InputError):
        check_model_file(path)


words = st.text(max_size=12) | st.none()


@given(words, words, words | st.integers())
def test_only_what_is_listed_passes(module, name, registered):
    entry = named(module, name, {}, registered)
    passes = name in model_file.CLASSES.get(module, ()) and registered in (None, name)
    if passes:
        check_config(entry, "m")
    else:
        with pytest.raises(InputError):
            check_config({"a": [1, {"b": entry}]}, "m")


def test_a_loss_that_a_model_was_compiled_with_is_never_built(small, tmp_path):
    def change(model):
        model["compile_config"] = {"loss": named("os", "function", "system", "system")}

    assert not load_model(rewrite(small, tmp_path / "model.keras", change)).compiled


# --- the archive -------------------------------------------------------------------------------


def test_members_that_keras_does_not_write(small, tmp_path, unopened):
    for name in ("../../evil.py", "/etc/passwd", "assets/vocabulary.txt", "assets/"):
        path = rewrite(small, tmp_path / "a.keras", members={name: "x"})
        with pytest.raises(InputError, match=f"holds '{name}'"):
            load_model(path)
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        path = rewrite(small, tmp_path / "b.keras", members={name: None})
        with pytest.raises(InputError, match="is not a Keras model"):
            load_model(path)


def test_a_member_that_is_a_link_or_comes_twice(small, tmp_path, unopened):
    path = rewrite(small, tmp_path / "a.keras", members={"model.weights.h5": None})
    link = zipfile.ZipInfo("model.weights.h5")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="'model.weights.h5' as a link"):
        load_model(path)
    path = rewrite(small, tmp_path / "b.keras")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match="'config.json' as a link or twice"):
        load_model(path)


def test_what_unpacks_to_too_much(small, tmp_path, monkeypatch, unopened):
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    path = rewrite(small, tmp_path / "deep.keras", lambda model: deep)
    with pytest.raises(InputError, match="is not a Keras model"):
        load_model(path)
    monkeypatch.setattr(model_file, "MAX_CONFIG_BYTES", 100)
    with pytest.raises(InputError, match="config.json takes 0 MiB"):
        load_model(small)
    monkeypatch.setattr(model_file, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="unpacks to"):
        load_model(small)


def weights(write):
    """The bytes of an HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (lambda f: f.update({"a": h5py.ExternalLink("/etc/x.h5", "/a")}), "point elsewhere"),
        (lambda f: f.update({"a": h5py.SoftLink("/b")}), "point elsewhere"),
        (
            lambda f: f.create_dataset("a", (9,), "u1", external=[("/etc/passwd", 0, 9)]),
            "point elsewhere",
        ),
        # 2^40 numbers that take no place in the file
        (lambda f: f.create_dataset("a", (2**20, 2**20), "f4", chunks=(64, 64)), "4096.0 GiB"),
    ],
)
def test_weights_that_come_from_elsewhere(write, line, small, tmp_path, unopened):
    path = rewrite(small, tmp_path / "a.keras", members={"model.weights.h5": weights(write)})
    with pytest.raises(InputError, match=line):
        load_model(path)


# --- versions ----------------------------------------------------------------------------------


def test_the_file_holds_nothing_that_keras_3_10_does_not_know(tmp_path):
    """What 3.11 to 3.15 added, by hand from their releases."""
    model = own_model()
    save_model(model, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        text = archive.read("config.json").decode()
        config = json.loads(text)
    for key in ("input_axes", "output_axes", "quantization_config", "renorm", "optional"):
        assert f'"{key}' not in text
    operations = [e for e in model_file._entries(config) if "keras.src.ops" in str(e.get("module"))]
    assert operations and not [e for e in operations if "name" in e["config"]]


def test_what_says_something_is_kept(tmp_path):
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, layers.BatchNormalization(momentum=0.9)(x))
    config = json.loads(model.to_json())
    norm = config["config"]["layers"][1]["config"]
    norm.update(renorm=True, renorm_momentum=0.9, renorm_clipping={"rmax": 3})
    assert model_file._make_portable(config)
    assert (norm["renorm"], norm["renorm_momentum"], norm["momentum"]) == (True, 0.9, 0.9)
    assert norm["renorm_clipping"] == {"rmax": 3}
    assert not model_file._make_portable(config)


def test_a_file_of_a_newer_keras_says_so(small, tmp_path):
    def change(model):
        conv(model)["of_the_future"] = 7

    newer = json.dumps({"keras_version": "3.99.1"})
    path = rewrite(small, tmp_path / "a.keras", change, {"metadata.json": newer})
    with pytest.raises(InputError) as caught:
        load_model(path)
    assert str(caught.value) == (
        f"{path}: was written by Keras 3.99.1, and Keras {keras.__version__} cannot read it; "
        "pip install 'keras>=3.99.1'"
    )
    # the same entry from this Keras is damage, and a newer file without it opens
    with pytest.raises(InputError, match="is not a Keras model"):
        load_model(rewrite(small, tmp_path / "b.keras", change))
    load_model(rewrite(small, tmp_path / "c.keras", members={"metadata.json": newer}))


def test_versions_are_compared_as_numbers():
    assert model_file._numbers("3.9.2") < model_file._numbers("3.10.0")
    assert model_file._numbers("3.15.0.dev2026") == [3, 15, 0]


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(1, 1)])
    with pytest.raises(InputError, match="called something.keras"):
        save_model(model, tmp_path / "model.h5")
    monkeypatch.setattr(model_file, "_copy", lambda *a: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError):
        save_model(model, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())
