"""Grad-CAM against maps worked out by hand, and what every model must give."""

import json

import keras
import numpy as np
import pytest
import rasterio
from keras import layers
from scipy.stats import spearmanr

from conftest import model_pairs, write_tiles
from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.config import MODELS
from landslide_tf.inputs import InputSpec
from landslide_tf.inputs.spec import FUSIONS
from landslide_tf.models.registry import build_model
from landslide_tf.runs.explain import Chosen, explain_run
from landslide_tf.runs.gradcam import (
    band_groups,
    default_layers,
    grad_cam,
    layers_to_explain,
    occlusion,
)
from landslide_tf.runs.run import load_run


def toy(weights, bias=0.0):
    """Two channels pass a linear 1 x 1 layer 'maps' unchanged; logit = w . channels + bias."""
    inputs = keras.Input((2, 2, 2))
    maps = layers.Conv2D(2, 1, use_bias=False, name="maps")(inputs)
    model = keras.Model(inputs, layers.Conv2D(1, 1, name="logits")(maps))
    model.get_layer("maps").set_weights([np.eye(2, dtype="float32").reshape(1, 1, 2, 2)])
    model.get_layer("logits").set_weights(
        [np.reshape(weights, (1, 1, 2, 1)).astype("float32"), np.array([bias], "float32")]
    )
    return model


X = np.array([[[[1, 0], [2, 1]], [[3, 2], [4, 3]]]], "float32")  # (1, 2, 2, 2)


def test_map_by_hand_over_all_pixels():
    """dy/dA_k = w_k at each of 4 pixels, so its mean is w_k: 2 for channel 0, -1 for channel 1.

    2 A_0 - A_1 = [[2, 3], [4, 5]]; divided by 5.
    """
    cam = grad_cam(toy([2, -1]), X, "maps", "all")
    np.testing.assert_allclose(cam[0], [[0.4, 0.6], [0.8, 1.0]], rtol=1e-6)
    assert cam.dtype == np.float32


def test_region_weighs_channels_by_its_pixels():
    """Logits 2 A_0 - A_1 - 3.5 are [[-1.5, -0.5], [0.5, 1.5]]: two pixels are predicted.

    The gradient is w_k there and 0 elsewhere: the mean is w_k / 2, the same map after scaling.
    A threshold above sigmoid(1.5) = 0.82 leaves an empty region.
    """
    model = toy([2, -1], bias=-3.5)
    np.testing.assert_allclose(grad_cam(model, X, "maps")[0], [[0.4, 0.6], [0.8, 1.0]], rtol=1e-6)
    assert not grad_cam(model, X, "maps", threshold=0.9).any()
    mask = np.array([[[1, 0], [0, 0]]])
    np.testing.assert_allclose(
        grad_cam(model, X, "maps", "mask", mask)[0], [[0.4, 0.6], [0.8, 1.0]], rtol=1e-6
    )
    assert not grad_cam(model, X, "maps", "mask", 0 * mask).any()


def test_negative_evidence_is_cut_off():
    """-A_0 + A_1 = -1 at every pixel: nothing speaks for landslide, and 0 / 0 is 0."""
    cam = grad_cam(toy([-1, 1]), X, "maps", "all")
    assert not cam.any()
    # A_1 - A_0 / 2 = [[-0.5, 0], [0.5, 1]]
    cam = grad_cam(toy([-0.5, 1]), X, "maps", "all")
    np.testing.assert_allclose(cam[0], [[0, 0], [0.5, 1]], atol=1e-6)


def test_region_decides_between_two_detectors():
    """Channel 0 fires on the left, channel 1 on the right, through a 3 x 3 sum: the region's own
    detector has the larger gradient."""
    inputs = keras.Input((8, 8, 2))
    maps = layers.Conv2D(2, 1, use_bias=False, name="maps")(inputs)
    gate = layers.Multiply()([maps, inputs])  # A_k^2: the gradient follows what fires
    model = keras.Model(inputs, layers.Conv2D(1, 1, use_bias=False, name="logits")(gate))
    model.get_layer("maps").set_weights([np.eye(2, dtype="float32").reshape(1, 1, 2, 2)])
    model.get_layer("logits").set_weights([np.ones((1, 1, 2, 1), "float32")])
    x = np.zeros((1, 8, 8, 2), "float32")
    x[0, :, :4, 0], x[0, :, 4:, 1] = 1, 1
    for side in (slice(0, 4), slice(4, 8)):
        mask = np.zeros((1, 8, 8))
        mask[0, :, side] = 1
        cam = grad_cam(model, x, "maps", "mask", mask)[0]
        np.testing.assert_array_equal(cam, mask[0])
        # the same where the other side has no data
        cam = grad_cam(model, x, "maps", "all", valid=mask > 0)[0]
        np.testing.assert_array_equal(cam, mask[0])
    assert not grad_cam(model, x, "maps", "all", valid=np.zeros((1, 8, 8), bool)).any()


@pytest.mark.parametrize("pair", model_pairs())
def test_every_pair_of_model_and_attention_has_maps(pair, rng):
    model, attention = pair
    built = build_model(model, attention=attention, filters=2, input_shape=(32, 32, 4))
    x = rng.random((2, 32, 32, 4)).astype("float32")
    encoder, decoder = default_layers(built)
    assert encoder.startswith("encoder4_")
    assert decoder.startswith("node0_4_" if model == "unetpp" else "decoder0_")
    for layer in (encoder, decoder):
        cam = grad_cam(built, x, layer, "all")
        assert cam.shape == (2, 32, 32)
        assert np.isfinite(cam).all()
        assert cam.min() >= 0
        assert set(cam.max(axis=(1, 2))) <= {0.0, 1.0}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_default_layers_of_each_fusion(fusion):
    model = build_model("unet", fusion=fusion, filters=2)
    expected = "fusion4" if fusion == "bottleneck" else "encoder4_relu2"
    assert default_layers(model) == (expected, "decoder0_relu2")


def nyquist_share(cam):
    """The share of a map's energy (H, W), mean left out, that repeats every two pixels."""
    energy = np.abs(np.fft.fft2(cam - cam.mean())) ** 2
    half = len(cam) // 2
    return (energy[half].sum() + energy[:, half].sum()) / energy.sum()


def test_phases_of_a_transposed_convolution_are_averaged():
    """2 x 2 weights [[8, 0], [0, 0]] make of a slope a_j = j the map 8 j at (2 i, 2 j), else 0.

    (1, 2, 1) / 4 along the rows gives 8 j / 2 at column 2 j, (8 j + 8 j + 8) / 4 at 2 j + 1, and
    then half of that in every row: column c becomes c, a slope without a checkerboard. The last
    column has the one before it on both sides, and becomes 6, too.
    """
    inputs = keras.Input((8, 8, 1))
    pooled = layers.AveragePooling2D(2)(inputs)
    up = layers.Conv2DTranspose(1, 2, strides=2, use_bias=False, name="maps")(pooled)
    model = keras.Model(inputs, layers.Conv2D(1, 1, use_bias=False, name="logits")(up))
    model.set_weights([np.reshape([8.0, 0, 0, 0], (2, 2, 1, 1)), np.ones((1, 1, 1, 1))])
    x = np.zeros((1, 8, 8, 1)) + np.repeat(np.arange(4.0), 2)[:, None]
    cam = grad_cam(model, x, "maps", "all")[0]
    np.testing.assert_allclose(cam, np.tile([0, 1, 2, 3, 4, 5, 6, 6], (8, 1)) / 6, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=() if name == "unetpp" else pytest.mark.slow) for name in MODELS],
)
def test_decoder_maps_show_no_checkerboard(model, rng, monkeypatch):
    keras.utils.set_random_seed(2)
    built = build_model(model, filters=4, input_shape=(32, 32, 4))
    x = keras.ops.convert_to_numpy(  # blobs, as in a real image: little at period 2 of its own
        keras.ops.image.resize(rng.random((3, 8, 8, 4)).astype("float32"), (32, 32))
    )
    layer = default_layers(built)[1]
    after = grad_cam(built, x, layer, "all")
    monkeypatch.setattr("landslide_tf.runs.gradcam.upsampling_stride", lambda *_: 1)
    before = grad_cam(built, x, layer, "all")
    shown = before.any(axis=(1, 2)) & after.any(axis=(1, 2))
    assert shown.any()
    for old, new in zip(before[shown], after[shown], strict=True):
        assert nyquist_share(new) < 0.1 * nyquist_share(old)


def test_default_layers_need_blocks():
    with pytest.raises(InputError, match="name a layer"):
        default_layers(toy([1, 1]))


def test_layers_that_can_be_asked_for():
    names = [layer.name for layer in layers_to_explain(build_model("unet", attention="contextual"))]
    assert "encoder0_conv1" in names
    assert "decoder0_relu2" in names
    assert not {"image", "logits", "encoder0_attention1_channel_mean"} & set(names)
    with pytest.raises(
        InputError, match="'map' is none of the 1 layers with a map; the nearest names: maps"
    ):
        grad_cam(toy([1, 1]), X, "map")


def test_arguments():
    with pytest.raises(InputError, match="'prediction', 'mask', 'all'"):
        grad_cam(toy([1, 1]), X, "maps", "everything")
    with pytest.raises(InputError, match="needs `mask`"):
        grad_cam(toy([1, 1]), X, "maps", "mask")


def test_randomised_weights_change_the_map(finished_run):
    """Adebayo et al. (2018): a map that survives new weights shows the image, not the model."""
    run = load_run(finished_run)
    x = np.random.default_rng(3).random((4, 32, 32, 4)).astype("float32")
    x[:, 8:20, 8:20, :3] += 0.5
    layer = default_layers(run.model)[1]
    before = grad_cam(run.model, x, layer, "all")
    np.testing.assert_array_equal(before, grad_cam(run.model, x, layer, "all"))
    assert before.any(axis=(1, 2)).all()  # a trained model has something to say of each
    other = keras.models.clone_model(run.model)  # the same layers with new weights
    after = grad_cam(other, x, layer, "all")
    for a, b in zip(before, after, strict=True):
        assert not b.any() or abs(spearmanr(a.ravel(), b.ravel()).statistic) < 0.8
        assert not np.allclose(a, b, atol=0.1)


def test_occlusion_by_hand():
    """logit = 2 c0 - c1 - 3.5 with logits [-1.5, -0.5, 0.5, 1.5].

    Channel 0 (1, 2, 3, 4) at its mean 2.5 leaves 1.5 - c1 = [1.5, 0.5, -0.5, -1.5]: all four
    pixels change sides. Channel 1 (0, 1, 2, 3) at 1.5 leaves 2 c0 - 5 = [-3, -1, 1, 3]: none.
    """

    def sigmoid(z):
        return 1 / (1 + np.exp(-np.array(z)))

    found = occlusion(toy([2, -1], bias=-3.5), X, {"a": slice(0, 1), "b": slice(1, 2)})
    before = sigmoid([-1.5, -0.5, 0.5, 1.5])
    assert found["a"]["flipped"].tolist() == [1.0]
    assert found["b"]["flipped"].tolist() == [0.0]
    for name, after in (("a", [1.5, 0.5, -0.5, -1.5]), ("b", [-3, -1, 1, 3])):
        expected = np.abs(sigmoid(after) - before).mean()
        assert found[name]["change"] == pytest.approx([expected], rel=1e-5)


def test_occlusion_counts_valid_pixels_alone():
    """Only the lower row counts: channel 0 is 3 and 4 there, its mean 3.5."""
    valid = np.array([[[False, False], [True, True]]])
    found = occlusion(toy([2, -1], bias=-3.5), X, {"a": slice(0, 1)}, valid)
    # logits 0.5, 1.5 become 7 - c1 - 3.5 = 1.5, 0.5
    assert found["a"]["flipped"].tolist() == [0.0]
    none = occlusion(toy([2, -1]), X, {"a": slice(0, 1)}, valid & False)
    assert np.isnan(none["a"]["change"]).all()


def test_groups_of_bands():
    assert list(band_groups(InputSpec(fusion="rgb"))) == ["rgb"]
    groups = band_groups(InputSpec(terrain=("slope", "hillshade")))
    # occluding the DEM alone would leave it readable in what is derived from it
    assert {name: list(range(6)[channels]) for name, channels in groups.items()} == {
        "rgb": [0, 1, 2], "dem": [3, 4, 5]
    }  # fmt: skip


@pytest.mark.slow
def test_command(finished_run, tmp_path, capsys):
    out = tmp_path / "explained"
    assert main(["explain", str(finished_run), "--out", str(out), "--count", "2"]) == 0
    facts = json.loads((out / "explain.json").read_text())
    test = json.loads((finished_run / "split.json").read_text())["test"]
    assert facts["tiles"] == [test[0], test[-1]]
    assert "without dem: probability changes by" in capsys.readouterr().out
    for name in facts["tiles"]:
        for layer in facts["layers"]:
            with rasterio.open(out / f"{name}_{layer}_gradcam.tif") as file:
                assert file.shape == (32, 32)
                assert 0 <= file.read(1).min() <= file.read(1).max() <= 1
    rows = (out / "occlusion.csv").read_text().splitlines()
    assert rows[0] == "tile,bands,change,flipped"
    assert len(rows) == 1 + 2 * 2
    # nothing is replaced unasked
    assert main(["explain", str(finished_run), "--out", str(out)]) == 2
    assert "give --overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_tiles_are_chosen_by_the_rule(finished_run, tmp_path, capsys):
    """Both test tiles are shown: the median one and what is left; six of others, by name."""
    assert main(["explain", str(finished_run), "--out", str(tmp_path / "a")]) == 0
    facts = json.loads((tmp_path / "a/explain.json").read_text())
    test = json.loads((finished_run / "split.json").read_text())["test"]
    assert sorted(facts["tiles"]) == sorted(test)
    explain_run(
        finished_run, tmp_path / "b", chosen=Chosen(part="train")
    )  # no scores are kept of it
    train = json.loads((finished_run / "split.json").read_text())["train"]
    steps = np.linspace(0, len(train) - 1, 6).round().astype(int)
    facts = json.loads((tmp_path / "b/explain.json").read_text())
    assert facts["tiles"] == [train[i] for i in steps]


def test_labels_say_the_scores_that_were_kept(finished_run):
    from landslide_tf.runs.explain import _by_rule
    from landslide_tf.training.tile_scores import read_tile_scores

    run = load_run(finished_run)
    scores = read_tile_scores(finished_run / "tile_scores.npz")
    for name, label in _by_rule(run, "test").items():
        tp, fp, fn, _ = scores.counts(run.threshold)[list(scores.names).index(name)]
        assert label.splitlines()[1:] == [name, f"IoU {tp / (tp + fp + fn):.2f}"]
    assert list(_by_rule(run, "test").values())[0].startswith("median\n")
    assert not _by_rule(run, "train")


def test_command_lists_layers(finished_run, capsys):
    assert main(["explain", str(finished_run), "--list-layers"]) == 0
    assert "encoder4_relu2                  2 x 2 x 32" in capsys.readouterr().out


@pytest.mark.slow
def test_command_on_tiles_without_masks(finished_run, tmp_path, capsys):
    tiles = write_tiles(tmp_path / "tiles", count=3, size=(40, 48))
    for mask in (tiles / "landslide/mask").iterdir():
        mask.unlink()
    (tiles / "landslide/mask").rmdir()
    out = tmp_path / "out"
    explain_run(finished_run, out, chosen=Chosen(tiles=tiles, names=("b001",)))
    assert (out / "gradcam.png").stat().st_size > 10_000
    (first, *_) = sorted(out.glob("b001_*.tif"))
    with rasterio.open(first) as file:
        assert file.shape == (40, 48)
    command = ["explain", str(finished_run), "--tiles", str(tiles), "--out", str(tmp_path / "x")]
    for words, message in (
        (["--region", "mask"], "mask"),
        (["--names", "nobody"], "holds no tile 'nobody'"),
        (["--layer", "nothing"], "`layer` 'nothing' is none of"),
        (["--count", "0"], "--count must be at least 1"),
        (["--part", "test"], "leave it out with --tiles"),
    ):
        assert main([*command, *words]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x").exists()
