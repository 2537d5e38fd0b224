"""`--window-px`: larger windows where the model sees locally, the training's own elsewhere."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_maps import FLOAT, make_map, read, read_pixels
from scene_runs import WINDOW, make_run

from landslide_tf.checks import InputError
from landslide_tf.geo.source import default_window_px
from landslide_tf.inputs import InputSpec
from landslide_tf.models.any_size import predictor_at, sees_locally
from landslide_tf.models.attention import ATTENTION
from landslide_tf.models.registry import build_model


def rgb_run(folder):
    """A run whose model sees five pixels around each, through a pooling of two."""
    run = make_run(folder, [0] * 3, 0.0, fusion="rgb")
    keras.utils.set_random_seed(3)
    x = keras.Input((WINDOW, WINDOW, 3))
    y = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = keras.layers.UpSampling2D()(keras.layers.MaxPooling2D()(y))
    model = keras.Model(x, keras.layers.Conv2D(1, 3, padding="same")(y))
    model.save(run / "model.keras")
    return run, model


def test_a_map_by_larger_windows_is_the_answer_to_the_whole_scene(make_scene, tmp_path):
    run, model = rgb_run(tmp_path / "run")
    size = 256, 192
    image, _ = make_scene(size)
    options = dataclasses.replace(FLOAT, overlap=16)
    report = make_map(run, (image, None), tmp_path / "auto", options)
    assert report["job"]["window_px"] == [96, 96]  # 3 x 32
    assert report["windows"]["all"] == 3 * 3  # (256 - 16) / 80 and (192 - 16) / 80, rounded up
    small = dataclasses.replace(options, window_px=32)
    report = make_map(run, (image, None), tmp_path / "small", small)
    assert report["job"]["window_px"] == [32, 32]
    wide, narrow = (read(tmp_path / name / "probability.tif") for name in ("auto", "small"))
    x = read_pixels(image)[None] / 255
    config = model.get_config()
    config["layers"][0]["config"]["batch_shape"] = (None, *size, 3)
    whole = keras.Model.from_config(config)
    whole.set_weights(model.get_weights())
    logits = keras.ops.convert_to_numpy(whole(x.astype("float32")))[0, ..., 0]
    expected = 1 / (1 + np.exp(-logits))
    inner = np.s_[6:-6, 6:-6]
    # windows that begin at an even pixel pool as the whole does, and what a border disturbs, three
    # pixels deep, has little weight
    assert np.mean(np.abs(wide - expected)[inner] < 1e-3) > 0.9
    assert np.abs(wide - expected)[inner].mean() < np.abs(narrow - expected)[inner].mean()
    agree = (wide >= np.median(expected)) == (expected >= np.median(expected))
    assert agree[inner].mean() > 0.995


def test_larger_windows_are_not_taken_where_they_change_the_map(make_scene, tmp_path, capsys):
    """A mean over 63 x 63 pixels, with the zeros beyond a window counted.

    On red 0.5, a window of 32 has (32 / 63)^2 of them at most, 0.13 on the mean. In a window of 96,
    16 pixels from its border, they are (16 + 32) / 63 along an axis at least, 0.29 on the mean.
    """
    run = make_run(tmp_path / "run", [0] * 3, 0.0, fusion="rgb")
    x = keras.Input((WINDOW, WINDOW, 3))
    mean = keras.layers.Conv2D(1, 63, padding="same")
    model = keras.Model(x, mean(x))
    kernel = np.zeros((63, 63, 3, 1), "float32")
    kernel[:, :, 0] = 100 / 63**2
    mean.set_weights([kernel, np.float32([-100 * 0.2])])
    model.save(run / "model.keras")
    image, _ = make_scene(image=np.full((256, 192, 3), 128, "uint8"))
    options = dataclasses.replace(FLOAT, overlap=16, threshold=0.5)
    report = make_map(run, (image, None), tmp_path / "auto", options)
    assert report["job"]["window_px"] == [32, 32]
    assert report["landslides"] == 0
    assert "they change 100.0% of the map (--window-px 96 takes them)" in capsys.readouterr().out
    wide = dataclasses.replace(options, window_px=96)
    report = make_map(run, (image, None), tmp_path / "wide", wide)
    assert report["landslides"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "attention"),
    [*(("unet", attention) for attention in ATTENTION), ("resunet", "none"),
     ("unetpp", "spatial"), ("unetpp", "contextual")],
)  # fmt: skip
def test_what_sees_locally(name, attention):
    """By the structure, and by the fact: a far pixel of a larger image must not matter."""
    keras.utils.set_random_seed(0)
    shape = (WINDOW, WINDOW, 3)
    model = build_model(name, attention=attention, filters=2, fusion="rgb", input_shape=shape)
    local = attention in ("none", "spatial")
    assert sees_locally(model) == local
    side = 384  # U-Net sees about 100 pixels far, spatial attention at four levels some more
    x = np.random.default_rng(0).random((1, side, side, 3)).astype("float32")
    predict = predictor_at(model, side)
    before = predict(x)
    x[:, -16:, -16:] = 9.0
    after = predict(x)
    assert np.array_equal(before[0, :8, :8], after[0, :8, :8]) == local
    assert not np.array_equal(before[0, -16:], after[0, -16:])


def test_an_unknown_layer_is_not_taken_for_local():
    x = keras.Input((16, 16, 3))
    for layer in (keras.layers.GroupNormalization(3), keras.layers.LayerNormalization()):
        assert not sees_locally(keras.Model(x, keras.layers.Conv2D(1, 1)(layer(x))))
    flipped = x[:, ::-1]
    assert not sees_locally(keras.Model(x, keras.layers.Conv2D(1, 1)(flipped)))
    assert sees_locally(keras.Model(x, keras.layers.Conv2D(1, 1)(x[..., :2])))
    assert not sees_locally(keras.Model(x, x - keras.ops.mean(x, axis=(1, 2), keepdims=True)))


@pytest.mark.parametrize("how", ["relief", "zscore", "dataset"])
def test_elevation_scaled_in_each_window_keeps_the_training_size(how, make_scene, tmp_path):
    run = make_run(tmp_path / "run", [1, 0, 0, 1], -1.0, dem_normalisation=how)
    if how == "dataset":
        spec = InputSpec.load(run)
        dataclasses.replace(spec, dem_statistics=(1100.0, 50.0)).save(run)
    scene = make_scene((70, 130))
    report = make_map(run, scene, tmp_path / "map")
    assert report["job"]["window_px"] == ([96, 96] if how == "dataset" else [32, 32])
    wide = dataclasses.replace(FLOAT, window_px=64)
    if how == "dataset":
        make_map(run, scene, tmp_path / "wide", wide)
        a, b = (read(tmp_path / name / "probability.tif") for name in ("map", "wide"))
        np.testing.assert_allclose(a, b, atol=1e-6)  # a model of one pixel
    else:
        with pytest.raises(InputError, match="needs those it was trained on, 32; leave --window"):
            make_map(run, scene, tmp_path / "wide", wide)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_px": 40}, "multiple of 16"),
        ({"window_px": 0}, "multiple of 16"),
        ({"window_px": 64, "overlap": 64}, "below the window of 64"),
        *(({"resolution_m": metres}, "must be above 0") for metres in (0.0, -1.0, np.inf, np.nan)),
    ],
)
def test_bad_windows(options, message, make_scene, tmp_path):
    run, _ = rgb_run(tmp_path / "run")
    options = dataclasses.replace(FLOAT, **options)
    with pytest.raises(InputError, match=message):
        make_map(run, (make_scene()[0], None), tmp_path / "map", options)


@given(st.integers(1, 40), st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
       st.floats(0.1, 40))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_default_windows(sixteenths, size, coarser):
    tile = 16 * sixteenths
    px = default_window_px(tile, size, (coarser, coarser))
    assert px % 16 == 0 and px >= tile
    if px > tile:  # larger windows must not cost memory, and the scene must be worth it
        assert px <= min(512, 3 * tile)
        assert px * coarser <= 1024
        assert max(size) / coarser >= 4 * tile
