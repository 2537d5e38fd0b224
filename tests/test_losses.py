import json
import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from losses_by_hand import FUNCTIONS, WEIGHTS, batch, gradient, make_loss, reference

from landslide_tf.checks import InputError
from landslide_tf.losses import (
    LOSS_CLASSES,
    BCELoss,
    DiceLoss,
    FocalLoss,
    SumLoss,
    WCELoss,
    bce_loss,
    dice_loss,
    focal_loss,
    inverse_frequency_weights,
    loss_from_name,
)
from landslide_tf.losses.functions import MEAN_REDUCTIONS, REDUCTIONS

MEANS = ("bce", "focal", "wce")  # sum(w l) / sum(w); Dice is a ratio of sums


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("weighting", ["none", "pixel", "tile"])
def test_loss_is_the_papers_equation(rng, name, weighting):
    y, z = batch(rng)
    w = {"none": None, "pixel": rng.choice([0, 0.25, 1, 3], z.shape), "tile": [[[[2]]], [[[0.5]]]]}[
        weighting
    ]
    expected = reference(name, y, z, 1.0 if w is None else w)
    assert float(FUNCTIONS[name](y, z, w)) == pytest.approx(expected, rel=1e-5)
    assert float(make_loss(name)(y, z, w)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "means"),
    [
        ("focal", {"balance": 0.6, "focusing": 0.0}, {"a": 0.6, "b": 0.0}),
        ("focal", {"focusing": 0.5}, {"b": 0.5}),
        ("focal", {"class_balanced": True}, {"class_balanced": True}),
        ("dice", {"smooth": 0.0}, {"smooth": 0.0}),
        ("dice", {"smooth": 10.0}, {"smooth": 10.0}),
    ],
)
def test_options(rng, name, given, means):
    y, z = batch(rng)
    expected = pytest.approx(reference(name, y, z, 1.0, **means), rel=1e-5)
    assert float(FUNCTIONS[name](y, z, **given)) == expected
    assert float(make_loss(name, **given)(y, z)) == expected


def test_dice_pools_the_batch():
    # v = 1 on all four pixels, one of them landslide, in the first tile. Pooled:
    # 1 - (2 * 1 + 1) / (1 + 4 + 1) = 1/2. The mean over the two tiles would be
    # (1 - 3 / 4 + 1 - 1 / 3) / 2 = 0.458.
    y, z = np.zeros((2, 1, 2, 1)), np.full((2, 1, 2, 1), 100.0)
    y[0, 0, 0] = 1
    assert float(dice_loss(y, z)) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "y", "expected"),
    [
        # d/dz of cross-entropy is v - y = 0.5 - y, over one pixel
        ("bce", [1], [-0.5]),
        ("bce", [0], [0.5]),
        # the same, times w1 = 1.8 or w0 = 0.2
        ("wce", [1], [-0.9]),
        ("wce", [0], [0.1]),
        # d/dv [-a (1 - v)^2 log v] = 2 a (1 - v) log v - a (1 - v)^2 / v
        #   = 0.25 * log 0.5 - 0.125 at v = 1/2, a = 1/4; dv/dz = v (1 - v) = 1/4
        ("focal", [1], [(0.25 * math.log(0.5) - 0.125) / 4]),
        ("focal", [0], [-(0.25 * math.log(0.5) - 0.125) / 4]),
        # L = 1 - n / d with n = 2 v1 + 1 = 2, d = 1 + v1 + v2 + 1 = 3:
        # dL/dv1 = -(2 d - n) / d^2 = -4/9, dL/dv2 = n / d^2 = 2/9; dv/dz = 1/4
        ("dice", [1, 0], [-1 / 9, 1 / 18]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradient_at_logit_zero(name, y, expected, dtype):
    y = np.reshape(y, (1, 1, -1, 1))
    _, grad = gradient(FUNCTIONS[name], y, np.zeros(y.shape, dtype))
    assert grad.dtype == dtype
    assert grad.ravel() == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "function",
    [*FUNCTIONS.values(), *(partial(focal_loss, focusing=b) for b in (0.0, 0.5, 1.0))],
)
def test_saturated_logits_give_finite_values_and_gradients(function, dtype):
    z = np.tile([-1e4, -88, -20, -1e-4, 0, 1e-4, 20, 88, 1e4], 2).astype(dtype)
    y = np.repeat([0, 1], 9).astype(dtype)
    value, grad = gradient(function, y.reshape(1, 2, 9, 1), z.reshape(1, 2, 9, 1))
    assert math.isfinite(value) and np.isfinite(grad).all() and np.any(grad)


@pytest.mark.parametrize(
    ("name", "wrong"),
    # a wrong logit of 1e4 costs -log v = 1e4, times a = 1/4 (focal) or the mean weight
    # (0.2 + 1.8) / 2 = 1 (wce); Dice: 1 - (0 + 1) / (1 + 1 + 1)
    [("bce", 1e4), ("focal", 2500), ("wce", 1e4), ("dice", 2 / 3)],
)
def test_values_of_saturated_logits(name, wrong):
    y = np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    z = (2 * y - 1) * 1e4
    assert float(FUNCTIONS[name](y, z)) == pytest.approx(0, abs=1e-7)
    assert float(FUNCTIONS[name](y, -z)) == pytest.approx(wrong, rel=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float16_sums_do_not_overflow(name):
    # 2 * 256 * 256 = 131072 ones: above float16's largest number, 65504
    shape = (2, 256, 256, 1)
    y, z = np.ones(shape, "float16"), np.zeros(shape, "float16")
    log2 = math.log(2)
    expected = {
        "bce": log2,
        "focal": log2 / 16,  # a (1 - v)^2 = 0.25 * 0.25
        "wce": 1.8 * log2,
        "dice": 1 / 3,  # 1 - 2 (N / 2) / (N + N / 2)
    }[name]
    value = FUNCTIONS[name](y, z)
    assert value.dtype == "float32"
    assert float(value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shape_mismatch_is_an_error(rng, name):
    y, z = batch(rng)
    function = FUNCTIONS[name]
    with pytest.raises(InputError, match=r"masks.*\(1, 5, 7, 1\) and \(2, 5, 7, 1\)"):
        function(y[:1], z)
    with pytest.raises(InputError, match=r"masks.*\(5, 7\)"):
        function(y[0, ..., 0], z)
    for shape in ((2, 5), (3,), (2, 5, 6), (5, 7, 1), (2, 5, 7, 1, 1)):
        with pytest.raises(InputError, match="sample_weight.*one number a tile.*a pixel"):
            function(y, z, np.ones(shape))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_masks_and_weights_of_any_type_and_without_the_last_axis(rng, name, reduction):
    y, z = batch(rng)
    w = rng.random(z.shape)
    tile = np.array([2.0, 0.5])
    value = partial(FUNCTIONS[name], reduction=reduction)
    for dtype in ("bool", "uint8", "int64", "float32"):
        same = value(y[..., 0].astype(dtype), z, w[..., 0])
        np.testing.assert_allclose(same, value(y, z, w), rtol=1e-6)
    np.testing.assert_allclose(
        value(y, z, tile), value(y, z, tile.reshape(2, 1, 1, 1) * np.ones(z.shape)), rtol=1e-6
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_none_is_the_loss_of_each_tile_times_its_weight(rng, name):
    y, z = batch(rng, (3, 5, 7, 1))
    alone = [reference(name, y[i : i + 1], z[i : i + 1], 1.0) for i in range(3)]
    tile = np.array([2.0, 0.5, 0.0])
    for none in ("none", None):
        assert FUNCTIONS[name](y, z, reduction=none).shape == (3,)
        np.testing.assert_allclose(FUNCTIONS[name](y, z, reduction=none), alone, rtol=1e-5)
        values = FUNCTIONS[name](y, z, tile, reduction=none)
        np.testing.assert_allclose(values, tile * alone, rtol=1e-5)
    total = FUNCTIONS[name](y, z, tile, reduction="sum")
    assert float(total) == pytest.approx(2 * alone[0] + 0.5 * alone[1], rel=1e-5)
    # pixels without data leave the tile's loss, they do not lower it
    valid = (rng.random(z.shape) < 0.6).astype("float32")
    for i, value in enumerate(np.asarray(FUNCTIONS[name](y, z, valid, reduction="none"))):
        expected = reference(name, y[i : i + 1], z[i : i + 1], valid[i : i + 1])
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_classes_keep_keras_reductions(rng, name, reduction):
    y, z = batch(rng)
    w = rng.random(z.shape)
    expected = FUNCTIONS[name](y, z, w, reduction=reduction)
    value = make_loss(name, reduction=reduction)(y, z, w)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    shape = (2,) if reduction in ("none", None) else ()
    assert tuple(value.shape) == shape
    if reduction in MEAN_REDUCTIONS:
        assert float(value) == pytest.approx(reference(name, y, z, w), rel=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_labels_that_are_not_0_and_1_are_an_error(rng, name):
    y, z = batch(rng)
    for reduction in ("mean", "sum", "none"):
        for high in (255, 2, -1, math.nan):
            with pytest.raises(InputError, match="masks must hold 0 .* and 1"):
                make_loss(name, reduction=reduction)(y * high, z)
    # where nothing can be raised, the loss shows it at once
    for reduction, jit in (("none", False), ("mean", False), ("sum", True)):
        loss = make_loss(name, reduction=reduction)
        compiled = tf.function(lambda y, z, loss=loss: loss(y, z), jit_compile=jit)
        for high in (255, 2, -1, math.nan):
            assert np.isnan(compiled(tf.constant(y * high, "float32"), z)).all()
        assert np.isfinite(compiled(tf.constant(y), z)).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_weights_below_zero_are_an_error(rng, name):
    y, z = batch(rng)
    for wrong in (-1, math.nan):
        w = np.ones_like(y)
        w[0, 0, 0] = wrong
        with pytest.raises(InputError, match="sample_weight.*numbers from 0 on"):
            make_loss(name)(y, z, w)
        compiled = tf.function(lambda y, z, w: make_loss(name)(y, z, w))
        assert np.isnan(compiled(tf.constant(y), z, w))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pixels_of_weight_zero_count_for_nothing(rng, name):
    y, z = batch(rng)
    w = (rng.random(y.shape) < 0.5).astype("float32")
    value, grad = gradient(FUNCTIONS[name], y, z, w)
    assert (grad != 0).any() and not grad[w == 0].any()
    other, other_grad = gradient(
        FUNCTIONS[name], np.where(w == 0, 255, y), np.where(w == 0, -z, z), w
    )
    assert other == value  # 255: ignore
    np.testing.assert_array_equal(other_grad, grad)


@pytest.mark.parametrize("name", MEANS)
def test_no_weighted_pixel_gives_zero(rng, name):
    y, z = batch(rng)
    value, grad = gradient(FUNCTIONS[name], y, z, np.zeros_like(y))
    assert value == 0
    assert not np.any(grad)  # NaN would count as true


@pytest.mark.parametrize(("smooth", "expected"), [(1.0, 0), (0.0, 1)])
def test_dice_of_empty_masks(smooth, expected):
    y = np.zeros((1, 2, 2, 1))
    # v = 1/2 on four pixels: 1 - 1 / (2 + 1)
    assert float(dice_loss(y, y)) == pytest.approx(2 / 3, rel=1e-6)
    dice = partial(dice_loss, smooth=smooth)
    assert float(dice(y, np.full_like(y, -1e4))) == expected
    value, grad = gradient(dice, y, y, y)  # no pixel has weight
    assert value == expected and not np.any(grad)


def test_inverse_frequency_weights():
    # 1/90 : 1/10 = 1 : 9, and the mean of the two is 1
    assert inverse_frequency_weights(90, 10) == pytest.approx((0.2, 1.8))
    assert inverse_frequency_weights(5, 5) == (1, 1)
    for counts in ((0, 10), (10, 0)):
        with pytest.raises(ValueError, match="both classes"):
            inverse_frequency_weights(*counts)


ONE = np.zeros((1, 1, 1, 1))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (BCELoss, {"reduction": "median"}, "reduction.*'sum_over_batch_size', 'mean'.*'median'"),
        (partial(bce_loss, ONE, ONE), {"reduction": "median"}, "reduction.*'median'"),
        (FocalLoss, {"balance": 0}, "balance"),
        (FocalLoss, {"focusing": -1}, "focusing"),
        (DiceLoss, {"smooth": -0.1}, "smooth"),
        (WCELoss, {}, r"WCELoss\(inverse_frequency_weights\("),
        *(
            (WCELoss, {"weights": weights}, "weights")
            for weights in ("ab", "auto", 3.0, (1,), (1, 2, 3), (0, 1), (1, -1))
        ),
        (SumLoss, {"losses": []}, "list of Keras losses"),
        (SumLoss, {"losses": ["bce"]}, "list of Keras losses.*'bce'"),
        (SumLoss, {"losses": [BCELoss()], "weights": (1, 2)}, "2 weights for 1 losses"),
        (
            SumLoss,
            {"losses": [BCELoss(), DiceLoss(reduction="sum")]},
            "one `reduction`.*sum, sum_over_batch_size",
        ),
        *(
            (loss_from_name, {"name": name}, "'bce', 'focal', 'dice', 'wce'.*'bce[+]dice'")
            for name in ("dicee", "bce+", "bce+bce", "", None)
        ),
        (loss_from_name, {"name": "dice", "smooth": 1.0}, "'dice_smooth'.*'smooth'"),
        (loss_from_name, {"name": "wce"}, "weights of background and landslide"),
    ],
)
def test_what_is_refused(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("loss", "default"),
    [
        (BCELoss(name="mine"), BCELoss()),
        (FocalLoss(balance=0.6, focusing=1.0, class_balanced=True, name="mine"), FocalLoss()),
        (DiceLoss(smooth=3.0, name="mine"), DiceLoss()),
        (WCELoss(weights=(0.4, 1.6), name="mine"), WCELoss(weights=(1, 1))),
        (SumLoss([BCELoss(), DiceLoss()], (0.5, 2), name="mine"), SumLoss([BCELoss(), DiceLoss()])),
    ],
)
def test_losses_reload_from_their_config(rng, loss, default):
    y, z = batch(rng)
    text = json.dumps(keras.saving.serialize_keras_object(loss))
    assert "landslide_tf>" in text
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is type(loss)
    assert again.name == "mine"
    assert float(again(y, z)) == float(loss(y, z))
    config = json.loads(text)
    identifier = {"class_name": config["registered_name"], "config": config["config"]}
    assert float(keras.losses.get(identifier)(y, z)) == float(loss(y, z))
    if type(loss) is not BCELoss:  # else the options that are kept would show nothing
        assert float(default(y, z)) != float(loss(y, z))


def test_sum_of_losses(rng):
    y, z = batch(rng)
    w = rng.random(z.shape)
    bce, dice = reference("bce", y, z, w), reference("dice", y, z, w)
    assert float(SumLoss([BCELoss(), DiceLoss()])(y, z, w)) == pytest.approx(bce + dice, rel=1e-5)
    loss = SumLoss([BCELoss(), DiceLoss(smooth=3.0)], weights=(0.5, 2))
    dice = reference("dice", y, z, w, smooth=3.0)
    assert float(loss(y, z, w)) == pytest.approx(0.5 * bce + 2 * dice, rel=1e-5)
    parts = SumLoss([BCELoss(reduction="none"), DiceLoss(reduction=None)])
    assert parts(y, z).shape == (2,)


def test_loss_from_name(rng):
    y, z = batch(rng)
    options = {"focal_balance": 0.6, "dice_smooth": 3.0, "wce_weights": WEIGHTS}
    for name, cls in LOSS_CLASSES.items():
        assert type(loss_from_name(name, **options)) is cls
    assert loss_from_name("dice", **options).smooth == 3.0
    assert loss_from_name("dice", dice_smooth=None).smooth == 1.0
    both = loss_from_name("wce+focal", **options)
    expected = reference("wce", y, z, 1.0) + reference("focal", y, z, 1.0, a=0.6)
    assert float(both(y, z)) == pytest.approx(expected, rel=1e-5)
