"""The options of a training run: one frozen dataclass, the paper's values as its defaults.

The command line, `config.json` in a run folder and the study are all made of `TrainConfig`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from landslide_tf.checks import InputError, check_choice, check_multiple

MODELS = ("unet", "resunet", "unetpp")
ATTENTIONS = ("none", "spatial", "contextual", "spatial_contextual")
LOSSES = ("bce", "focal", "dice", "wce")
FUSIONS = ("early", "bottleneck", "rgb")
DEM_SOURCES = ("own", "zero", "others")
DEM_NORMALISATIONS = ("relief", "zscore", "dataset")
TERRAIN = ("slope", "hillshade")
# The loss with the highest mIoU in the paper's Table 1, per model.
PAPER_LOSS = {"unet": "bce", "resunet": "wce", "unetpp": "dice"}
# What each preset sets differently from the defaults, which are the paper's.
PRESETS = {
    "paper": {},
    "demo": {
        "epochs": 20,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "filters": 8,
        "tile_px": 64,
        "dropout": 0.2,
        "augment": True,
    },
}


def _option(default, help, *, group="model", choices=None, metavar=None):  # noqa: A002
    return field(
        default=default,
        metadata={"help": help, "group": group, "choices": choices, "metavar": metavar},
    )


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run computes.

    Unknown keys (`from_dict`) and illegal values raise `InputError` with the legal ones listed.

    >>> TrainConfig(model="resunet").resolved_loss
    'wce'
    >>> TrainConfig(filters=0)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `filters` must be at least 1. Received: 0
    """

    # data
    data: str | None = _option(
        None,
        "folder of tiles, or a file written by 'data pack'; without it: the built-in demo terrain",
        group="data",
        metavar="DIR",
    )
    preset: str = _option("paper", "starting values", group="data", choices=tuple(PRESETS))
    split: str = _option(
        "random",
        "'random', 'group' (neighbours stay together) or a JSON file that names the tiles",
        group="data",
        metavar="{random,group,FILE}",
    )
    tile_px: int = _option(128, "tiles are resized to this many pixels a side", group="data")
    augment: bool = _option(
        False, "flips, quarter turns, brightness and contrast (RGB only)", group="data"
    )
    negatives: bool = _option(
        False, "also use the tiles without landslide (non-landslide/)", group="data"
    )
    dem_normalisation: str = _option(
        "relief",
        "DEM to [0, 1] per tile, to z-scores per tile, or by statistics of the training part",
        group="data",
        choices=DEM_NORMALISATIONS,
    )
    terrain: tuple[str, ...] = _option(
        (), "further channels from the DEM: slope, hillshade", group="data", metavar="NAME[,NAME]"
    )
    resolution_m: float | None = _option(
        None,
        "metres per image pixel, for --terrain where tiles carry no georeference",
        group="data",
        metavar="M",
    )
    nodata: float | None = _option(
        None, "this value is no data in images and DEMs (masks keep it)", group="data", metavar="V"
    )
    rgb_scale: float | None = _option(
        None,
        "image value that becomes 1.0; default: the highest of the integer type, 1 for float",
        group="data",
        metavar="V",
    )
    bands: tuple[int, int, int] | None = _option(
        None,
        "bands of the image files that are red, green and blue, counted from 1; default: the "
        "three that there are, 4,3,2 of Landslide4Sense",
        group="data",
        metavar="R,G,B",
    )
    skip_bad: bool = _option(
        False, "leave out tiles that cannot be used, and list them", group="data"
    )
    # model
    model: str = _option("unetpp", "architecture", choices=MODELS)
    attention: str = _option("none", "attention in the encoder", choices=ATTENTIONS)
    fusion: str = _option(
        "early",
        "where RGB and DEM meet: stacked at the input, two encoders, or no DEM at all",
        choices=FUSIONS,
    )
    filters: int = _option(64, "filters of the first level; they double at each level")
    dropout: float = _option(0.5, "dropout rate")
    dropout_levels: int = _option(
        1, "how many of the deepest encoder levels have dropout; 1 is the bottleneck alone"
    )
    deep_supervision: bool = _option(False, "a loss on each head (unetpp only)")
    # loss
    loss: str = _option(
        "auto",
        "auto is the paper's pairing: bce for unet, wce for resunet, dice for unetpp",
        group="loss",
        choices=("auto", *LOSSES),
    )
    focal_balance: float = _option(0.25, "a of the focal loss (Eq. 2)", group="loss")
    focal_focusing: float = _option(2.0, "b of the focal loss (Eq. 2)", group="loss")
    focal_class_balanced: bool = _option(
        False, "a for landslide and 1 - a for background in the focal loss", group="loss"
    )
    dice_smooth: float = _option(1.0, "smoothing term of the Dice loss", group="loss")
    wce_weights: tuple[float, float] | None = _option(
        None,
        "weights of background and landslide in the WCE loss; default: inverse class frequency",
        group="loss",
        metavar="W0,W1",
    )
    # training
    epochs: int = _option(50, "passes over the training part", group="training")
    batch_size: int = _option(2, "tiles a step", group="training")
    learning_rate: float = _option(1e-5, "of Adam", group="training")
    seed: int = _option(0, "decides split, initial weights, order and dropout", group="training")
    early_stopping: int | None = _option(
        None, "stop after N epochs without a better validation mIoU", group="training", metavar="N"
    )
    reestimate_batch_norm: bool = _option(
        False,
        "before each validation, estimate the batch-normalisation statistics anew",
        group="training",
    )
    mixed_precision: str = _option(
        "auto",
        "auto: float16 on a GPU, float32 elsewhere; on: bfloat16 where there is no GPU",
        group="training",
        choices=("auto", "on", "off"),
    )
    deterministic: bool = _option(
        False, "same numbers, bit for bit, at every run", group="training"
    )
    strategy: str = _option(
        "none", "mirrored: all GPUs of this machine", group="training", choices=("none", "mirrored")
    )

    def __post_init__(self):
        for f in dataclasses.fields(self):
            if isinstance(f.default, bool):
                check_choice(f.name, getattr(self, f.name), (True, False))
            if f.metadata["choices"] is not None:
                check_choice(f.name, getattr(self, f.name), f.metadata["choices"])
        for name in ("filters", "epochs", "batch_size", "tile_px"):
            _check_number(name, getattr(self, name), low=1, whole=True)
        if self.early_stopping is not None:
            _check_number("early_stopping", self.early_stopping, low=1, whole=True)
        _check_number("dropout_levels", self.dropout_levels, low=0, high=5, whole=True)
        _check_number("seed", self.seed, low=0, high=2**31 - 1, whole=True)
        _check_number("learning_rate", self.learning_rate, above=0)
        _check_number("dropout", self.dropout, low=0, below=1)
        _check_number("focal_balance", self.focal_balance, above=0)
        _check_number("focal_focusing", self.focal_focusing, low=0)
        _check_number("dice_smooth", self.dice_smooth, low=0)
        for name in ("resolution_m", "rgb_scale"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), above=0)
        if self.nodata is not None:
            _check_number("nodata", self.nodata)
        for name in ("data", "split"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "data" and value is None):
                raise InputError(f"`{name}` must be text. Received: {value!r}")
        if not isinstance(self.terrain, (list, tuple)):
            raise InputError(f"`terrain` must be a list of {TERRAIN}. Received: {self.terrain!r}")
        object.__setattr__(self, "terrain", tuple(self.terrain))
        for name in self.terrain:
            check_choice("terrain", name, TERRAIN)
        if len(set(self.terrain)) != len(self.terrain):
            raise InputError(f"`terrain` names a channel twice. Received: {self.terrain}")
        if self.terrain and self.fusion == "rgb":
            raise InputError("`terrain` needs the DEM: use it with fusion 'early' or 'bottleneck'")
        if self.bands is not None:
            if not isinstance(self.bands, (list, tuple)) or len(self.bands) != 3:
                raise InputError(f"`bands` must be three numbers. Received: {self.bands!r}")
            object.__setattr__(self, "bands", tuple(self.bands))
            for band in self.bands:
                _check_number("bands", band, low=1, whole=True)
        if self.wce_weights is not None:
            if isinstance(self.wce_weights, (list, tuple)):
                object.__setattr__(self, "wce_weights", tuple(self.wce_weights))
            if not isinstance(self.wce_weights, tuple) or len(self.wce_weights) != 2:
                raise InputError(f"`wce_weights` must be two numbers. Received: {self.wce_weights}")
            for weight in self.wce_weights:
                _check_number("wce_weights", weight, above=0)
        check_multiple(self.tile_px, self.tile_px)
        if self.deep_supervision and self.model != "unetpp":
            raise InputError(f"`deep_supervision` needs model 'unetpp'. Received: {self.model!r}")

    @property
    def resolved_loss(self) -> str:
        """The loss in use: `auto` is the paper's pairing."""
        return PAPER_LOSS[self.model] if self.loss == "auto" else self.loss

    @property
    def channels(self) -> int:
        """Channels of the input tensor: RGB, the DEM unless fusion is 'rgb', terrain channels."""
        return 3 if self.fusion == "rgb" else 4 + len(self.terrain)

    def to_dict(self) -> dict:
        """Plain values, as written to `config.json`."""
        return dataclasses.asdict(self)

    def to_arguments(self) -> list[str]:
        """The options of `train` that give these values.

        >>> TrainConfig(filters=16, augment=True).to_arguments()
        ['--preset', 'paper', '--augment', '--filters', '16']
        """
        start = TrainConfig.from_preset(self.preset)
        words = ["--preset", self.preset]
        for f in dataclasses.fields(self):
            value, option = getattr(self, f.name), "--" + f.name.replace("_", "-")
            if value == getattr(start, f.name):
                continue
            if isinstance(value, bool):
                words.append(option if value else "--no-" + option[2:])
            else:
                words += [
                    option,
                    ",".join(map(str, value)) if isinstance(value, tuple) else str(value),
                ]
        return words

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """The inverse of `to_dict`; keys left out take their defaults."""
        for key in values:
            check_choice("option", key, [f.name for f in dataclasses.fields(cls)])
        return cls(**values)

    @classmethod
    def from_preset(cls, preset: str, **typed) -> TrainConfig:
        """Values of a preset, overridden by what was typed.

        >>> TrainConfig.from_preset("demo", filters=32).filters
        32
        """
        check_choice("preset", preset, PRESETS)
        return cls.from_dict({**PRESETS[preset], **typed, "preset": preset})


def _check_number(name, value, low=None, above=None, below=None, high=None, whole=False):
    rules = []
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if whole:
        ok = ok and value == int(value) and isinstance(value, int)
        rules.append("a whole number")
    if low is not None:
        ok = ok and value >= low
        rules.append(f"at least {low}")
    if above is not None:
        ok = ok and value > above
        rules.append(f"above {above}")
    if below is not None:
        ok = ok and value < below
        rules.append(f"below {below}")
    if high is not None:
        ok = ok and value <= high
        rules.append(f"at most {high}")
    if not ok:
        if whole and isinstance(value, int):
            rules.remove("a whole number")
        must = " and ".join(rules) or "a finite number"
        raise InputError(f"`{name}` must be {must}. Received: {value!r}")
