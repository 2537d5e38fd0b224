"""What the models of `build_model` add to a functional Keras model, tried through `fit`."""

import inspect
import json
import math
import pickle
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from landslide_tf.checks import InputError
from landslide_tf.losses import BCELoss, DiceLoss
from landslide_tf.metrics import SegmentationMetrics
from landslide_tf.models.registry import build_model
from landslide_tf.models.segmentation_model import segmentation_model


def one_pixel_model(heads=1, size=(4, 4)):
    """Logits w x + b of each pixel, w = 1, 2, ... and b = 0 a head."""
    x = keras.Input((*size, 1))
    outputs = [
        keras.layers.Conv2D(1, 1, kernel_initializer="ones", name=f"head{i}")(x * (i + 1.0))
        for i in range(heads)
    ]
    return segmentation_model(x, outputs if heads > 1 else outputs[0], "pixels")


@pytest.fixture
def batch(rng):
    x = rng.normal(size=(4, 4, 4, 1)).astype("float32")
    return x, (rng.random(x.shape) < 0.4).astype("uint8")


def compile_quickly(model, loss):
    metrics = [SegmentationMetrics(auc=False)]
    model.compile(keras.optimizers.SGD(0.0), loss=loss, weighted_metrics=metrics, jit_compile=False)


def first_loss(model, data, loss, **options):
    """The loss of the first and only step of an epoch."""
    compile_quickly(model, loss)
    return model.fit(*data, batch_size=len(data[0]), verbose=0, **options).history


def bce(y, z, w=1.0):
    y, z, w = (np.asarray(a, "float64") for a in (y, z, w))
    v = 1 / (1 + np.exp(-z))
    w = np.broadcast_to(w, z.shape)
    return np.sum(w * -(y * np.log(v) + (1 - y) * np.log(1 - v))) / np.sum(w)


@pytest.mark.parametrize("size", [(100, 100), (32, 40), (8, 8)])
def test_open_size_refuses_what_it_cannot_halve(size):
    model = one_pixel_model(size=(None, None))
    for call in (model, lambda x: model.predict(x, verbose=0)):
        with pytest.raises(InputError) as error:
            call(np.zeros((1, *size, 1), "float32"))
        up = " x ".join(str(-(-pixels // 16) * 16) for pixels in size)
        assert str(error.value) == (
            f"height and width must be divisible by 16. Received {size[0]} x {size[1]}; use {up}"
        )
    assert model(np.zeros((1, 16, 32, 1), "float32")).shape == (1, 16, 32, 1)


def test_models_of_build_model_are_checked():
    model = build_model("unet", filters=1, input_shape=(None, None, 4))
    with pytest.raises(InputError, match="divisible by 16"):
        model(np.zeros((1, 100, 100, 4), "float32"))


def test_a_fixed_size_is_keras_own_affair():
    with pytest.raises(ValueError, match="incompatible"):
        one_pixel_model()(np.zeros((1, 100, 100, 1), "float32"))


def test_deep_supervision_takes_one_loss_and_one_mask(batch):
    x, y = batch
    model = one_pixel_model(heads=3)
    expected = np.mean([bce(y, k * x) for k in (1, 2, 3)])
    alone = first_loss(one_pixel_model(), batch, BCELoss())
    for mask in (y, y[..., 0]):
        history = first_loss(model, (x, mask), BCELoss(), validation_data=(x, mask))
        assert history["loss"] == pytest.approx([expected], rel=1e-5)
        assert history["val_loss"] == pytest.approx([expected], rel=1e-5)
        assert history["miou"] == pytest.approx(alone["miou"])  # of the first head
    # a list of losses is one a head, summed, as everywhere in Keras
    history = first_loss(model, batch, [BCELoss()] * 3)
    assert history["loss"] == pytest.approx([3 * expected], rel=1e-5)


def test_deep_supervision_trains_every_head_of_unetpp(rng):
    model = build_model("unetpp", filters=1, input_shape=(16, 16, 4), deep_supervision=True)
    before = {layer.name: layer.get_weights() for layer in model.layers if "logits" in layer.name}
    model.compile("adam", loss=DiceLoss(), run_eagerly=True)
    x = rng.random((2, 16, 16, 4)).astype("float32")
    model.fit(x, (x[..., 0] < 0.3).astype("uint8"), sample_weight=np.ones(2), verbose=0)
    assert len(before) == 4
    for name, weights in before.items():
        assert not np.allclose(weights[1], model.get_layer(name).get_weights()[1]), name


@pytest.mark.parametrize(("heads", "as_dataset"), [(1, False), (1, True), (2, False)])
def test_class_weight_weights_the_pixels_of_the_loss(batch, heads, as_dataset):
    x, y = batch
    tile = np.array([1, 2, 0, 1], "float32")
    weight = np.where(y == 1, 5.0, 0.5)
    model, plain = one_pixel_model(heads), first_loss(one_pixel_model(heads), batch, BCELoss())
    for with_tiles in (False, True):
        parts = (x, y, tile) if with_tiles else (x, y)
        data = (tf.data.Dataset.from_tensors(parts),) if as_dataset else parts[:2]
        options = {} if as_dataset or not with_tiles else {"sample_weight": tile}
        compile_quickly(model, BCELoss())
        options |= {"validation_data": batch, "shuffle": False, "verbose": 0}
        if not as_dataset:
            options["batch_size"] = 4
        history = model.fit(*data, class_weight={0: 0.5, 1: 5.0}, **options).history
        w = weight * (tile.reshape(4, 1, 1, 1) if with_tiles else 1)
        expected = np.mean([bce(y, (k + 1) * x, w) for k in range(heads)])
        assert history["loss"] == pytest.approx([expected], rel=1e-5)
        assert history["val_loss"] == pytest.approx(plain["loss"], rel=1e-5)  # not in validation
        if not with_tiles:
            assert history["miou"] == pytest.approx(plain["miou"])
        # the next fit has forgotten them
        again = model.fit(*data, **options).history
        w = tile.reshape(4, 1, 1, 1) if with_tiles else 1.0
        expected = np.mean([bce(y, (k + 1) * x, w) for k in range(heads)])
        assert again["loss"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize(
    "class_weight", [{2: 1.0}, {0: -1.0}, {1: math.nan}, {0: 0, 1: 0}, (1, 2), "balanced"]
)
def test_illegal_class_weights(batch, class_weight):
    model = one_pixel_model()
    model.compile("sgd", loss=BCELoss(), jit_compile=False)
    with pytest.raises(InputError, match="{0: weight of background, 1: weight of landslide}"):
        model.fit(*batch, class_weight=class_weight, verbose=0)


def test_masks_of_255_stop_the_first_step(batch):
    x, y = batch
    model = one_pixel_model()
    model.compile("sgd", loss=BCELoss(), jit_compile=False)
    with pytest.raises(InputError, match="Masks must hold 0 and 1"):
        model.fit(x, y * 255, batch_size=1, epochs=3, verbose=0)
    history = model.fit(x, y * 255 > 0, verbose=0, callbacks=keras.callbacks.LambdaCallback())
    assert history.history["loss"][0] > 0


@pytest.mark.parametrize("heads", [1, 2])
def test_a_file_holds_a_plain_functional_model(batch, tmp_path, heads):
    x, y = batch
    model = one_pixel_model(heads)
    first_loss(model, batch, BCELoss())
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        config = json.loads(file.read("config.json"))
    plain = keras.Model(model.inputs, model.outputs)
    plain.save(tmp_path / "plain.keras")
    with zipfile.ZipFile(tmp_path / "plain.keras") as file:
        expected = json.loads(file.read("config.json"))
    for key in ("module", "class_name", "registered_name"):
        assert config[key] == expected[key]
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert type(again) is type(plain)
    outputs = keras.tree.flatten(model(x))
    for a, b in zip(keras.tree.flatten(again(x)), outputs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("heads", [1, 2])
def test_a_pickle_holds_a_plain_functional_model(batch, heads):
    x, y = batch
    model = one_pixel_model(heads)
    first_loss(model, batch, BCELoss())
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(keras.Model(model.inputs, model.outputs))
    outputs = keras.tree.flatten(model(x))
    for a, b in zip(keras.tree.flatten(again(x)), outputs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_arguments_of_fit_have_keras_order(batch):
    ours, theirs = (
        list(inspect.signature(f).parameters) for f in (one_pixel_model().fit, keras.Model.fit)
    )
    theirs.remove("self")
    assert ours[:-1] == theirs[: len(ours) - 1]
    model = one_pixel_model()
    compile_quickly(model, BCELoss())
    history = model.fit(*batch, 4, 1, 0, None, 0.25).history
    # a quarter of four tiles, the last one, is for validation
    assert history["loss"] == pytest.approx([bce(batch[1][:3], batch[0][:3])], rel=1e-5)
    assert history["val_loss"] == pytest.approx([bce(batch[1][3:], batch[0][3:])], rel=1e-5)


@pytest.mark.filterwarnings("error:.*shuffle=True")
def test_a_dataset_keeps_its_order_without_a_warning(batch):
    model = one_pixel_model()
    compile_quickly(model, BCELoss())
    data = tf.data.Dataset.from_tensor_slices(batch).batch(2)
    assert len(model.fit(data, verbose=0).history["loss"]) == 1


@pytest.mark.parametrize("heads", [1, 2])
def test_two_metrics_of_one_name_are_refused(batch, heads):
    model = one_pixel_model(heads)
    metrics = [SegmentationMetrics(t, auc=False) for t in (0.5, 0.2)]
    model.compile("sgd", loss=BCELoss(), weighted_metrics=metrics, jit_compile=False)
    for run in (model.fit, model.evaluate):
        with pytest.raises(InputError, match="report 'miou'.*name='low'"):
            run(*batch, verbose=0)
    metrics[1] = SegmentationMetrics(0.2, auc=False, name="low")
    model.compile("sgd", loss=BCELoss(), weighted_metrics=metrics, jit_compile=False)
    scores = model.evaluate(*batch, verbose=0, return_dict=True)
    assert {"miou", "low_miou"} < scores.keys()


def test_channels_come_last():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(InputError, match="set_image_data_format.'channels_last'"):
            build_model("unet", filters=1)
    finally:
        keras.config.set_image_data_format("channels_last")
