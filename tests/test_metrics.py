import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sk

from landslide_tf.checks import InputError
from landslide_tf.metrics import (
    AUCInValidation,
    SegmentationMetrics,
    confusion_counts,
    exact_auc,
    landslides_found,
    scores_from_counts,
)

NAMES = {"miou", "iou", "precision", "recall", "f1", "accuracy", "auc"}

# Table 3 of the paper: mIoU, precision, recall, accuracy
PAPER_ROWS = {
    "U-Net (BCE)": (0.50, 0.94, 0.12, 0.90),
    "ResUNet (WCE)": (0.70, 0.85, 0.53, 0.94),
    "U-Net++ (Dice)": (0.75, 0.69, 0.77, 0.94),
    "U-Net++ spatial": (0.72, 0.73, 0.65, 0.94),
    "U-Net++ contextual": (0.76, 0.69, 0.79, 0.94),
    "U-Net++ spatial + contextual": (0.73, 0.73, 0.65, 0.94),
}


def result(metric):
    return {name: float(value) for name, value in metric.result().items()}


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, "float64")))


def sklearn_scores(y, z, w=None, threshold=0.5):
    y = np.ravel(y).astype(int)
    z = np.ravel(z)
    w = None if w is None else np.ravel(w)
    p = (sigmoid(z) >= threshold).astype(int)
    return {
        "miou": sk.jaccard_score(y, p, sample_weight=w, average="macro"),
        "iou": sk.jaccard_score(y, p, sample_weight=w),
        "precision": sk.precision_score(y, p, sample_weight=w),
        "recall": sk.recall_score(y, p, sample_weight=w),
        "f1": sk.f1_score(y, p, sample_weight=w),
        "accuracy": sk.accuracy_score(y, p, sample_weight=w),
        "auc": sk.roc_auc_score(y, z, sample_weight=w),
    }


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("weights", [None, (0, 1), (0, 0.3, 1, 2.5)])
def test_metric_equals_scikit_learn_over_batches(rng, threshold, weights):
    shape = (9, 6, 8, 1)
    y = (rng.random(shape) < 0.2).astype("float32")
    z = (rng.normal(-1, 2, shape) + 2 * y).astype("float32")
    w = None if weights is None else rng.choice(weights, shape).astype("float32")
    metric = SegmentationMetrics(threshold=threshold)
    for part in (slice(0, 3), slice(3, 4), slice(4, 9)):
        metric.update_state(y[part], z[part], None if w is None else w[part])
    scores = result(metric)
    expected = sklearn_scores(y, z, w, threshold)
    assert scores.keys() == NAMES
    assert scores.pop("auc") == pytest.approx(expected.pop("auc"), abs=1e-3)
    assert scores == pytest.approx(expected, rel=1e-6)


def test_weights_broadcast_to_the_labels(rng):
    y = (rng.random((3, 4, 4, 1)) < 0.5).astype("float32")
    z = rng.normal(size=y.shape)
    w = np.array([0.0, 1.0, 3.0]).reshape(3, 1, 1, 1)
    metric = SegmentationMetrics()
    metric.update_state(y, z, w)
    expected = sklearn_scores(y, z, np.broadcast_to(w, y.shape))
    assert result(metric) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("weighting", ["tile", "pixel"])
def test_masks_and_weights_without_the_last_axis(rng, weighting):
    y = (rng.random((3, 4, 5, 1)) < 0.5).astype("uint8")
    z = rng.normal(size=y.shape)
    w = {"tile": np.array([0.0, 1.0, 3.0]), "pixel": rng.random((3, 4, 5))}[weighting]
    metric = SegmentationMetrics()
    metric.update_state(y[..., 0], z, w)
    full = np.broadcast_to(w.reshape(3, *w.shape[1:], *[1] * (4 - w.ndim)), y.shape)
    assert result(metric) == pytest.approx(sklearn_scores(y, z, full), abs=2e-3)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5, 1, 1), ()])
def test_shapes_that_do_not_fit(shape):
    z = np.zeros((3, 4, 5, 1))
    with pytest.raises(InputError, match="sample_weight.*one number a tile.*a pixel"):
        SegmentationMetrics().update_state(z, z, np.ones(shape))
    with pytest.raises(InputError, match="masks must have the shape of the logits"):
        SegmentationMetrics().update_state(np.ones(shape), z)


def test_without_auc_only_the_counts_remain(rng):
    y = (rng.random((2, 4, 4, 1)) < 0.5).astype("float32")
    z = rng.normal(size=y.shape)
    metric, full = SegmentationMetrics(auc=False), SegmentationMetrics()
    for m in (metric, full):
        m.update_state(y, z)
    scores = result(full)
    del scores["auc"]
    assert result(metric) == scores
    assert [tuple(v.shape) for v in metric.variables] == [(2, 2)]
    metric.reset_state()
    assert float(keras.ops.sum(metric.confusion)) == 0


def test_names_keep_two_thresholds_apart(rng):
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    metrics = [SegmentationMetrics(0.5), SegmentationMetrics(0.2, auc=False, name="low")]
    model.compile(keras.optimizers.SGD(0.0), loss="mse", weighted_metrics=metrics)
    x = rng.normal(size=(2, 4, 4, 1)).astype("float32")
    y = (rng.random(x.shape) < 0.5).astype("float32")
    scores = model.evaluate(x, y, verbose=0, return_dict=True)
    assert scores.keys() == {"loss"} | NAMES | {f"low_{name}" for name in NAMES - {"auc"}}
    z = np.asarray(model(x))
    assert scores["f1"] == pytest.approx(sklearn_scores(y, z)["f1"], rel=1e-6)
    assert scores["low_f1"] == pytest.approx(sklearn_scores(y, z, threshold=0.2)["f1"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_auc_in_validation_alone(rng, run_eagerly):
    metric = SegmentationMetrics()
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    model.compile(
        keras.optimizers.SGD(0.0), "mse", weighted_metrics=[metric], run_eagerly=run_eagerly
    )
    x = rng.normal(size=(4, 4, 4, 1)).astype("float32")
    y = (rng.random(x.shape) < 0.5).astype("float32")
    options = {"validation_data": (x[2:], y[2:]), "epochs": 2, "batch_size": 1, "verbose": 0}
    history = model.fit(x[:2], y[:2], callbacks=[AUCInValidation(metric)], **options).history
    cheap = NAMES - {"auc"}
    assert history.keys() == {"loss", "val_loss"} | cheap | {f"val_{name}" for name in NAMES}
    for part, prefix in ((slice(2), ""), (slice(2, 4), "val_")):
        expected = sklearn_scores(y[part], model(x[part]))
        for name in NAMES if prefix else cheap:
            values = history[prefix + name]
            assert values == pytest.approx([expected[name]] * 2, abs=3e-3), prefix + name
    assert "auc" in model.evaluate(x, y, verbose=0, return_dict=True)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16"])
def test_labels_of_any_type(dtype):
    metric = SegmentationMetrics()
    metric.update_state(np.array([[1, 1, 0, 0]]).astype(dtype), np.array([[2.0, -1.0, -3.0, 1.0]]))
    np.testing.assert_array_equal(metric.confusion.numpy(), [[1, 1], [1, 1]])


def test_pixel_at_the_threshold_is_predicted():
    metric = SegmentationMetrics()
    metric.update_state(np.ones((1, 3)), np.array([[0.0, -1e-3, 1e-3]]))  # sigmoid(0) = 0.5
    assert result(metric)["recall"] == pytest.approx(2 / 3)


def saturated_logits(rng, y):
    z = np.clip(rng.normal(0, 6000, y.shape) + 5000 * (2 * y - 1), -1e4, 1e4)
    return np.where(rng.random(y.shape) < 0.2, rng.normal(0, 1, y.shape) + y, z)


def narrow_logits(centre):
    def logits(rng, y):  # from `centre` to `centre` + 0.01
        return centre + 0.007 * rng.random(y.shape) + 0.003 * rng.random(y.shape) * y

    return logits


@pytest.mark.parametrize(
    "logits",
    [saturated_logits, narrow_logits(0), narrow_logits(-4), lambda rng, y: 1e4 * (2 * y - 1)],
    ids=["saturated", "narrow at 0", "narrow at -4", "perfect"],
)
def test_streaming_auc_of_difficult_scores(rng, logits):
    y = (rng.random(40_000) < 0.1).astype("float32")
    z = logits(rng, y).astype("float32")
    metric = SegmentationMetrics()
    metric.update_state(y, z)
    assert result(metric)["auc"] == pytest.approx(sk.roc_auc_score(y, z), abs=1e-3)


def test_auc_of_equal_scores_is_a_half():
    metric = SegmentationMetrics()
    metric.update_state(np.array([1.0, 0.0, 0.0]), np.full(3, 0.7))
    assert result(metric)["auc"] == pytest.approx(0.5)


def test_counters_are_exact_beyond_float32():
    metric = SegmentationMetrics()
    metric.update_state(np.ones(1), np.ones(1), np.array([2.0**24]))
    for _ in range(3):  # in float32, 2^24 + 1 = 2^24
        metric.update_state(np.ones(1), np.ones(1))
    assert int(metric.confusion[1, 1]) == 2**24 + 3
    assert int(keras.ops.sum(metric.histogram)) == 2**24 + 3


def test_reset_forgets_everything():
    metric = SegmentationMetrics()
    metric.update_state(np.array([1.0, 0.0, 1.0]), np.array([-1.0, 1.0, 2.0]))
    metric.reset_state()
    assert all(np.isnan(value) for value in result(metric).values())
    metric.update_state(np.array([1.0, 0.0]), np.array([1.0, -1.0]))
    assert result(metric) == dict.fromkeys(NAMES, 1.0)


def test_ratio_of_nothing_is_nan():
    metric = SegmentationMetrics()
    metric.update_state(np.zeros(4), np.full(4, -1.0))  # no landslide, none predicted
    nan = float("nan")
    expected = {**dict.fromkeys(NAMES, nan), "accuracy": 1.0}
    assert result(metric) == pytest.approx(expected, nan_ok=True)
    metric.update_state(np.zeros(4), np.full(4, 1.0))
    # four false alarms beside four true negatives: background IoU 4/8, landslide 0/4
    expected |= {"miou": 0.25, "iou": 0.0, "precision": 0.0, "f1": 0.0, "accuracy": 0.5}
    assert result(metric) == pytest.approx(expected, nan_ok=True)
    metric.reset_state()
    metric.update_state(np.ones(4), np.ones(4), np.zeros(4))
    assert all(np.isnan(value) for value in result(metric).values())


@pytest.mark.parametrize("threshold", [0, 1, -0.5, 2])
def test_illegal_threshold(threshold):
    with pytest.raises(ValueError, match="between 0 and 1"):
        SegmentationMetrics(threshold=threshold)


def test_metric_reloads_from_its_config():
    metric = SegmentationMetrics(threshold=0.3, auc=False, name="mine")
    text = json.dumps(keras.saving.serialize_keras_object(metric))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert (type(again), again.threshold, again.name) == (SegmentationMetrics, 0.3, "mine")
    assert not again.auc


def test_metric_in_a_compiled_model(rng):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(1, 1)])
    model.compile(
        keras.optimizers.SGD(0.0), loss="mse", weighted_metrics=[SegmentationMetrics(0.4)]
    )
    x = rng.normal(size=(5, 4, 4, 2)).astype("float32")
    y = (rng.random((5, 4, 4, 1)) < 0.5).astype("float32")
    w = (rng.random(y.shape) < 0.5).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, y, w)).batch(2)  # 2, 2 and 1 tiles
    history = model.fit(data, validation_data=data, epochs=2, shuffle=False, verbose=0).history
    assert history.keys() == {"loss", "val_loss"} | NAMES | {f"val_{name}" for name in NAMES}
    expected = sklearn_scores(y, model(x), w, threshold=0.4)
    for epoch in range(2):  # the second epoch starts from zero again
        for prefix in ("", "val_"):
            scores = {name: history[prefix + name][epoch] for name in NAMES}
            # one of the about 20 x 20 pairs of pixels that make up the AUC is 0.0025
            assert scores == pytest.approx(expected, abs=3e-3)


def test_scores_from_counts():
    scores = scores_from_counts(tp=6, fp=2, fn=4, tn=88)
    assert scores == pytest.approx(
        {
            "iou": 6 / 12,
            "miou": (6 / 12 + 88 / 94) / 2,
            "precision": 6 / 8,
            "recall": 6 / 10,
            "f1": 12 / 18,
            "accuracy": 94 / 100,
        }
    )


def test_scores_from_counts_of_arrays_and_nothing():
    # first column: only background, nothing predicted; second: everything missed
    scores = scores_from_counts(tp=[0, 0], fp=[0, 0], fn=[0, 5], tn=[9, 5])
    nan = np.nan
    np.testing.assert_array_equal(scores["iou"], [nan, 0])
    np.testing.assert_array_equal(scores["miou"], [nan, 0.25])  # (0 + 5/10) / 2
    np.testing.assert_array_equal(scores["precision"], [nan, nan])
    np.testing.assert_array_equal(scores["recall"], [nan, 0])
    np.testing.assert_array_equal(scores["f1"], [nan, 0])
    np.testing.assert_array_equal(scores["accuracy"], [1, 0.5])


@pytest.mark.parametrize("row", PAPER_ROWS)
def test_the_papers_miou_is_the_mean_over_two_classes(row):
    miou, precision, recall, accuracy = PAPER_ROWS[row]
    # One pixel in all: fp = tp (1/P - 1), fn = tp (1/R - 1), fp + fn = 1 - accuracy, hence
    # tp (1/P + 1/R - 2) = 1 - accuracy.
    tp = (1 - accuracy) / (1 / precision + 1 / recall - 2)
    fp, fn = tp * (1 / precision - 1), tp * (1 / recall - 1)
    scores = scores_from_counts(tp, fp, fn, 1 - tp - fp - fn)
    assert scores["precision"] == pytest.approx(precision)
    assert scores["recall"] == pytest.approx(recall)
    assert scores["accuracy"] == pytest.approx(accuracy)
    assert scores["miou"] == pytest.approx(miou, abs=0.011)
    assert abs(scores["iou"] - miou) > 0.1


def test_confusion_counts(rng):
    mask = np.array([[1, 1, 1, 0, 0, 0]])
    predicted = np.array([[1, 0, 0, 1, 0, 0]])
    valid = np.array([[1, 1, 0, 1, 1, 1]])
    assert confusion_counts(mask, predicted) == {"tp": 1, "fp": 1, "fn": 2, "tn": 2}
    assert confusion_counts(mask, predicted, valid) == {"tp": 1, "fp": 1, "fn": 1, "tn": 2}
    mask, predicted = rng.random((2, 50, 50)) < 0.4
    tn, fp, fn, tp = sk.confusion_matrix(mask.ravel(), predicted.ravel()).ravel()
    assert confusion_counts(mask, predicted) == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}


def test_exact_auc():
    # pairs (landslide, background): 0.8 > 0.1, 0.8 > 0.5, 0.3 > 0.1, 0.3 < 0.5: 3 of 4
    assert exact_auc([[1, 0], [0, 1]], [[0.8, 0.1], [0.5, 0.3]]) == 0.75
    assert exact_auc([1, 0], [0.4, 0.4]) == 0.5
    assert np.isnan(exact_auc([1, 1], [0.2, 0.3]))
    assert np.isnan(exact_auc([0, 0], [0.2, 0.3]))


MASK = np.array(
    [
        [1, 0, 0, 0, 1, 1],
        [0, 1, 0, 0, 1, 1],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
    ]
)  # a diagonal of 4 pixels, a square of 4, one pixel apart from both


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        ([], 0),
        ([(0, 0)], 0),  # 1 of 4
        ([(0, 0), (3, 3)], 1),  # 2 of 4: half is enough
        ([(0, 0), (1, 1), (4, 5)], 2),
        ([(0, 0), (0, 4)], 0),  # a quarter of each
        ([(0, 1), (0, 2), (1, 0), (4, 4)], 0),  # beside them
        ([(0, 0), (1, 1), (2, 2), (0, 4), (1, 4), (4, 5)], 3),
    ],
)
def test_landslides_found(pixels, found):
    predicted = np.zeros_like(MASK)
    for pixel in pixels:
        predicted[pixel] = 1
    assert landslides_found(MASK, predicted) == (found, 3)


def test_landslides_found_with_other_share_and_no_data():
    predicted = np.zeros_like(MASK)
    predicted[0, 0] = 1
    assert landslides_found(MASK, predicted, share=0.25) == (1, 3)
    assert landslides_found(MASK, predicted, share=0.26) == (0, 3)
    valid = np.ones_like(MASK)
    valid[2, 2] = 0  # cuts the diagonal into two pixels, one of them predicted, and a single one
    assert landslides_found(MASK, predicted, valid) == (1, 4)
    valid[:, 4:] = 0
    assert landslides_found(MASK, predicted, valid) == (1, 2)
    assert landslides_found(np.zeros((3, 3)), np.ones((3, 3))) == (0, 0)
