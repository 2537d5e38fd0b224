"""The benchmark's arithmetic, and that it measures what it says; never how fast this machine is."""

import json

import numpy as np
import pytest

from landslide_tf.cli import main
from landslide_tf.models.cost import forward_gmac
from landslide_tf.models.registry import build_model
from landslide_tf.study import benchmark as module


@pytest.mark.parametrize(
    ("model", "gmac"), [("unet", 12.05), ("resunet", 12.73), ("unetpp", 29.77)]
)
def test_multiply_adds_of_the_papers_models(model, gmac):
    """At 128 x 128 x 4, as counted apart from this code; benchmarks/against_pytorch.py checks it
    against PyTorch's counter."""
    assert forward_gmac(build_model(model)) == pytest.approx(gmac, abs=0.005)


def test_multiply_adds_by_hand():
    """A 2 x 2 stride 2 transposed convolution multiplies each of 5 x 5 inputs with 2 x 2 x 3 x 4;
    a dense layer that is called twice counts twice."""
    import keras
    from keras import layers

    inputs = keras.Input((5, 5, 3))
    up = layers.Conv2DTranspose(4, 2, strides=2)(inputs)
    dense = layers.Dense(2)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    model = keras.Model(inputs, [up, dense(pooled), dense(pooled + 1)])
    assert 1e9 * forward_gmac(model) == pytest.approx(25 * 2 * 2 * 3 * 4 + 2 * 3 * 2)


def test_size_must_be_known():
    with pytest.raises(ValueError, match="not fixed"):
        forward_gmac(build_model("unet", filters=2, input_shape=(None, None, 4)))


def test_matrix_rate_is_operations_over_time(monkeypatch):
    monkeypatch.setattr(module, "timed", lambda function: 0.5)
    assert module.matrix_rate() == pytest.approx(2 * module.MATRIX**3 / 0.5 / 1e9)


@pytest.mark.slow
def test_command(tiny_tiles, tmp_path, capsys):
    out = tmp_path / "benchmark.json"
    words = ["benchmark", "--data", str(tiny_tiles), "--model", "unet", "--filters", "2",
             "--tile-px", "32", "--repeats", "3", "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    printed, result = capsys.readouterr().out, json.loads(out.read_text())
    training = result["training"]
    assert training["images_per_s"] == pytest.approx(2 / training["step_s"])
    gmac = forward_gmac(build_model("unet", filters=2, input_shape=(32, 32, 4)))
    assert training["gflop_per_step"] == pytest.approx(6 * gmac * 2)
    assert training["share_of_matrix_rate"] == pytest.approx(
        training["gflop_per_step"] / training["step_s"] / result["matrix_gflops"]
    )
    assert 0 <= training["waiting_share"] < 1
    for name, row in result["inference"].items():
        assert name in printed
        assert row is None or 0 < row["median_ms"] <= row["p95_ms"]
    assert result["inference"]["compiled"]
    assert result["machine"]["processor"]
    assert np.isfinite(result["input"]["decode_tiles_per_s"])
    assert main(words) == 2  # the file is there
    assert "give --overwrite" in capsys.readouterr().err


def test_bad_repeats(capsys):
    assert main(["benchmark", "--repeats", "0"]) == 2
    assert "--repeats must be at least 1" in capsys.readouterr().err
