"""Options of a run: legal values, presets, and the way to `config.json` and back."""

import dataclasses
import json

import numpy as np
import pytest

from landslide_tf.checks import InputError, check_choice, check_multiple
from landslide_tf.config import PRESETS, TrainConfig
from landslide_tf.inputs import InputSpec


def test_defaults_are_the_papers():
    config = TrainConfig()
    expected = {"epochs": 50, "batch_size": 2, "learning_rate": 1e-5, "filters": 64,
                "dropout": 0.5, "tile_px": 128, "augment": (), "dropout_levels": 1, "loss": "auto",
                "fusion": "early", "split": "random", "dem_normalisation": "relief",
                "reestimate_batch_norm": True}  # fmt: skip
    assert {name: config.options()[name] for name in expected} == expected
    assert TrainConfig.from_preset("paper") == config


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 3


def test_unknown_key_lists_the_options():
    with pytest.raises(InputError) as error:
        TrainConfig.from_dict({"learning_rat": 0.1})
    message = str(error.value)
    assert "learning_rat'" in message and "\n" not in message
    assert all(repr(f.name) in message for f in dataclasses.fields(TrainConfig))


@pytest.mark.parametrize(
    "name, value, legal",
    [
        ("model", "unett", ["'unet'", "'resunet'", "'unetpp'"]),
        ("attention", "all", ["'none'", "'spatial'", "'contextual'", "'spatial_contextual'"]),
        ("loss", "mse", ["'auto'", "'bce'", "'focal'", "'dice'", "'wce'"]),
        ("fusion", "late", ["'early'", "'bottleneck'", "'rgb'"]),
        ("preset", "fast", ["'paper'", "'demo'"]),
        ("mixed_precision", True, ["'auto'", "'on'", "'off'"]),
        ("strategy", "tpu", ["'none'", "'mirrored'"]),
        ("dem_normalisation", "minmax", ["'relief'", "'zscore'", "'dataset'"]),
        ("terrain", ("slope", "aspect"), ["'slope'", "'hillshade'"]),
        ("terrain", ("slope", "slope"), ["twice"]),
        ("terrain", None, ["'slope'", "'hillshade'"]),
        ("filters", 0, ["at least 1"]),
        ("filters", 16.0, ["whole number"]),
        ("filters", True, ["at least 1"]),
        ("filters", np.float32(16), ["whole number"]),
        ("epochs", -1, ["at least 1"]),
        ("batch_size", 0, ["at least 1"]),
        ("early_stopping", 0, ["at least 1"]),
        ("seed", -1, ["at least 0", "at most 2147483647"]),
        ("seed", 2**31, ["at least 0", "at most 2147483647"]),
        ("learning_rate", 0, ["above 0"]),
        ("learning_rate", float("nan"), ["above 0"]),
        ("learning_rate", float("inf"), ["above 0"]),
        ("learning_rate", "1e-3", ["above 0"]),
        ("dropout", 1.0, ["at least 0", "below 1"]),
        ("dropout", -0.1, ["at least 0", "below 1"]),
        ("focal_balance", 0, ["above 0"]),
        ("focal_focusing", -1, ["at least 0"]),
        ("dice_smooth", -1, ["at least 0"]),
        ("resolution_m", 0, ["above 0"]),
        ("rgb_scale", -255, ["above 0"]),
        ("bands", (0, 1, 2), ["at least 1", "0"]),
        ("bands", (1, 2), ["three numbers"]),
        ("bands", (1.5, 2, 3), ["whole number"]),
        ("nodata", "none", ["number"]),
        ("wce_weights", (1.0, 2.0, 3.0), ["two numbers"]),
        ("wce_weights", (0.0, 1.0), ["above 0"]),
        ("wce_weights", 5.0, ["two numbers"]),
        ("tile_px", 250, ["divisible by 16", "256 x 256"]),
        ("tile_px", 8, ["divisible by 16", "16 x 16"]),
        ("augment", ("noise",), ["'flips'", "'light'"]),
        ("augment", "flips", ["list", "'flips'"]),
        ("skip_bad", "no", ["True", "False"]),
        ("negatives", None, ["True", "False"]),
    ],
)
def test_illegal_values_name_the_option_and_the_legal_ones(name, value, legal):
    with pytest.raises(InputError) as error:
        TrainConfig().with_options(**{name: value})
    message = str(error.value)
    # the size of a tile has its message from the check that the models share
    assert name in message or name == "tile_px"
    assert "\n" not in message
    for part in legal:
        assert part in message


def test_numbers_of_numpy_are_as_good_as_pythons():
    config = TrainConfig().with_options(
        filters=np.int64(8),
        learning_rate=np.float32(0.5),
        tile_px=np.int32(64),
        wce_weights=(np.float32(0.5), np.float64(1.5)),
        bands=[np.int64(3), 2, 1],
    )
    plain = {"filters": 8, "learning_rate": 0.5, "tile_px": 64, "bands": (3, 2, 1)}
    assert config == TrainConfig().with_options(**plain, wce_weights=(0.5, 1.5))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("value", [None, "early", (128, "early")])
def test_an_input_that_is_none_is_refused(value):
    with pytest.raises(InputError, match="`input` must be an InputSpec"):
        TrainConfig(input=value)


def test_illegal_pairs_of_options():
    with pytest.raises(InputError, match="deep_supervision.*unetpp.*'unet'"):
        TrainConfig(model="unet", deep_supervision=True)
    with pytest.raises(InputError, match="terrain.*DEM"):
        TrainConfig().with_options(fusion="rgb", terrain=("slope",))
    assert TrainConfig(model="unetpp", deep_supervision=True).deep_supervision


def test_what_is_typed_overrides_the_preset():
    config = TrainConfig.from_preset("demo", filters=32, augment=())
    assert (config.filters, config.augment) == (32, ())
    for name, value in PRESETS["demo"].items():
        if name not in ("filters", "augment"):
            assert config.options()[name] == value
    assert config.preset == "demo"
    # also where the typed value is the paper's default
    assert TrainConfig.from_preset("demo", epochs=50).epochs == 50
    with pytest.raises(InputError, match="`preset` must be one of 'paper', 'demo', 'strong'"):
        TrainConfig.from_preset("dmo")


@pytest.mark.parametrize("model, loss", [("unet", "bce"), ("resunet", "wce"), ("unetpp", "dice")])
def test_auto_is_the_papers_pairing_of_model_and_loss(model, loss):
    assert TrainConfig(model=model).resolved_loss == loss
    assert TrainConfig(model=model, loss="focal").resolved_loss == "focal"


@pytest.mark.parametrize(
    "options, channels",
    [
        ({}, 4),
        ({"fusion": "bottleneck"}, 4),
        ({"fusion": "rgb"}, 3),
        ({"terrain": ("slope", "hillshade")}, 6),
    ],
)
def test_channels(options, channels):
    assert TrainConfig().with_options(**options).input.channels == channels


def test_round_trip_through_json():
    config = TrainConfig(
        model="resunet",
        wce_weights=(0.6, 3.5),
        early_stopping=7,
        input=InputSpec(terrain=("hillshade", "slope"), nodata=-9999.0, bands=(8, 4, 3)),
    )
    # JSON turns tuples into lists
    again = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.input.terrain == ("hillshade", "slope") and again.wce_weights == (0.6, 3.5)
    assert again.input.bands == (8, 4, 3)
    assert TrainConfig.from_dict({}) == TrainConfig()


def test_arguments_give_the_same_options():
    config = TrainConfig.from_preset(
        "demo", model="unet", terrain=("slope",), nodata=0.0, skip_bad=True, augment=()
    )
    words = config.to_arguments()
    assert words[:2] == ["--preset", "demo"]
    assert words[words.index("--terrain") + 1] == "slope" and "--skip-bad" in words
    assert words[words.index("--augment") + 1] == ""
    assert "--nodata" in words and words[words.index("--nodata") + 1] == "0.0"
    several = TrainConfig().with_options(nodata=(-9999.0, -32768.0)).to_arguments()
    assert several[-1] == "--nodata=-9999.0,-32768.0"
    assert "--tile-px" not in words  # as in the preset


def test_an_unknown_option_lists_all_of_them():
    with pytest.raises(InputError, match="'tile_px'.*Received: 'tile'"):
        TrainConfig().with_options(tile=64)


def test_check_choice():
    check_choice("part", "test", ["train", "test"])
    with pytest.raises(InputError) as error:
        check_choice("part", "tset", ("train", "test"))
    assert str(error.value) == "`part` must be one of 'train', 'test'. Received: 'tset'"


@pytest.mark.parametrize("height, width", [(16, 16), (128, 144), (None, 32), (None, None)])
def test_check_multiple_accepts(height, width):
    check_multiple(height, width)


@pytest.mark.parametrize(
    "height, width, repair",
    [
        (250, 256, "Received 250 x 256; use 256 x 256"),
        (0, 16, "Received 0 x 16; use 16 x 16"),
        (None, 17, "Received None x 17; use None x 32"),
    ],
)
def test_check_multiple_says_which_size_would_work(height, width, repair):
    with pytest.raises(InputError, match=repair):
        check_multiple(height, width)
