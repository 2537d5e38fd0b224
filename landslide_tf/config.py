"""The options of a training run: one frozen dataclass, the paper's values as its defaults.

The command line, `config.json` in a run folder and the study are all made of `TrainConfig`. What
concerns the model's input is an `InputSpec` inside it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import Field, dataclass, field

from landslide_tf.checks import InputError, check_choice
from landslide_tf.fields import check_number, make_plain, option
from landslide_tf.inputs.spec import InputSpec

MODELS = ("unet", "resunet", "unetpp")
ATTENTIONS = ("none", "spatial", "contextual", "spatial_contextual")
LOSSES = ("bce", "focal", "dice", "wce")
AUGMENTATIONS = ("flips", "light", "scale", "colour", "tone", "edges")
SCHEDULES = ("constant", "cosine")
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
        "augment": ("flips", "light"),
        "reestimate_batch_norm": False,
    },
    "strong": {
        "model": "unet",
        "filters": 16,
        "loss": "bce+dice",
        "epochs": 100,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_epochs": 2,
        "weight_decay": 0.01,
        "ema": 0.99,
        "augment": ("flips", "light", "colour"),
        "reestimate_batch_norm": False,
    },
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run computes.

    What concerns the model's input is in `input`: give `TrainConfig(input=InputSpec(tile_px=64))`,
    or use `from_preset` and `with_options`, which take the options of both by name.

    Raises:
        InputError: a value is not legal; the message lists what is.

    >>> TrainConfig(model="resunet").resolved_loss
    'wce'
    >>> TrainConfig(filters=0)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `filters` must be at least 1. Received: 0
    """

    input: InputSpec = field(default_factory=InputSpec)
    # data
    data: str | None = option(
        None,
        "folder of tiles, or a file written by 'data pack'; without it: the built-in demo terrain",
        group="data",
        metavar="DIR",
    )
    preset: str = option("paper", "starting values", group="data", choices=tuple(PRESETS))
    split: str = option(
        "random",
        "'random', 'group' (neighbours stay together) or a JSON file that names the tiles",
        group="data",
        metavar="{random,group,FILE}",
    )
    augment: tuple[str, ...] = option(
        (),
        "random changes of training tiles: flips (and quarter turns), light (brightness and "
        "contrast of the RGB), scale (a part of the tile, enlarged), colour (each band of the "
        "RGB), tone (shade, haze, saturation), edges (no data beyond a "
        "line); without names: flips,light",
        group="data",
        metavar="NAME[,NAME]",
    )
    negatives: bool = option(
        False, "also use the tiles without landslide (non-landslide/)", group="data"
    )
    skip_bad: bool = option(
        False, "leave out tiles that cannot be used, and list them", group="data"
    )
    # model
    model: str = option("unetpp", "architecture", choices=MODELS)
    attention: str = option("none", "attention in the encoder", choices=ATTENTIONS)
    filters: int = option(64, "filters of the first level; they double at each level")
    dropout: float = option(0.5, "dropout rate")
    dropout_levels: int = option(
        1, "how many of the deepest encoder levels have dropout; 1 is the bottleneck alone"
    )
    deep_supervision: bool = option(False, "a loss on each head (unetpp only)")
    # loss
    loss: str = option(
        "auto",
        "bce, focal, dice, wce, or a sum such as bce+dice; auto is the paper's pairing: bce for "
        "unet, wce for resunet, dice for unetpp",
        group="loss",
        metavar="{auto,bce,focal,dice,wce,A+B}",
    )
    focal_balance: float = option(0.25, "a of the focal loss (Eq. 2)", group="loss")
    focal_focusing: float = option(2.0, "b of the focal loss (Eq. 2)", group="loss")
    focal_class_balanced: bool = option(
        False, "a for landslide and 1 - a for background in the focal loss", group="loss"
    )
    dice_smooth: float = option(1.0, "smoothing term of the Dice loss", group="loss")
    wce_weights: tuple[float, float] | None = option(
        None,
        "weights of background and landslide in the WCE loss; default: inverse class frequency",
        group="loss",
        metavar="W0,W1",
    )
    # training
    epochs: int = option(50, "passes over the training part", group="training")
    batch_size: int = option(2, "tiles a step", group="training")
    learning_rate: float = option(1e-5, "of Adam", group="training")
    schedule: str = option(
        "constant",
        "of the learning rate over the whole training",
        group="training",
        choices=SCHEDULES,
    )
    warmup_epochs: float = option(
        0.0, "epochs in which the learning rate rises from 0 (cosine)", group="training"
    )
    weight_decay: float = option(
        0.0, "of AdamW; 0 is Adam (Loshchilov and Hutter 2019)", group="training"
    )
    ema: float = option(
        0.0,
        "decay of a moving average of the weights, which is then validated and kept; 0: none",
        group="training",
    )
    seed: int = option(0, "decides split, initial weights, order and dropout", group="training")
    weights: str | None = option(
        None,
        "start from the weights of this run, packaged model or model file, as far as they fit",
        group="training",
        metavar="RUN",
    )
    early_stopping: int | None = option(
        None, "stop after N epochs without a better validation mIoU", group="training", metavar="N"
    )
    reestimate_batch_norm: bool = option(
        True,
        "before each validation, estimate the batch-normalisation statistics anew",
        group="training",
    )
    mixed_precision: str = option(
        "auto",
        "auto: float16 on a GPU, float32 elsewhere; on: bfloat16 where there is no GPU",
        group="training",
        choices=("auto", "on", "off"),
    )
    deterministic: bool = option(False, "same numbers, bit for bit, at every run", group="training")
    strategy: str = option(
        "none", "mirrored: all GPUs of this machine", group="training", choices=("none", "mirrored")
    )

    def __post_init__(self):
        if isinstance(self.input, dict):
            object.__setattr__(self, "input", InputSpec.from_dict(self.input))
        if not isinstance(self.input, InputSpec):
            raise InputError(f"`input` must be an InputSpec. Received: {self.input!r}")
        make_plain(self)
        for f in _own_fields():
            if isinstance(f.default, bool):
                check_choice(f.name, getattr(self, f.name), (True, False))
            if f.metadata["choices"] is not None:
                check_choice(f.name, getattr(self, f.name), f.metadata["choices"])
        for name in ("filters", "epochs", "batch_size"):
            check_number(name, getattr(self, name), low=1, whole=True)
        if self.early_stopping is not None:
            check_number("early_stopping", self.early_stopping, low=1, whole=True)
        check_number("dropout_levels", self.dropout_levels, low=0, high=5, whole=True)
        check_number("seed", self.seed, low=0, high=2**31 - 1, whole=True)
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("weight_decay", self.weight_decay, low=0)
        check_number("warmup_epochs", self.warmup_epochs, low=0)
        check_number("ema", self.ema, low=0, below=1)
        if self.warmup_epochs and self.schedule != "cosine":
            raise InputError("`warmup_epochs` goes with schedule 'cosine'")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise InputError(
                f"`warmup_epochs` must be below `epochs` ({self.epochs}). "
                f"Received: {self.warmup_epochs}"
            )
        check_number("dropout", self.dropout, low=0, below=1)
        check_number("focal_balance", self.focal_balance, above=0)
        check_number("focal_focusing", self.focal_focusing, low=0)
        check_number("dice_smooth", self.dice_smooth, low=0)
        summed = str(self.loss).split("+")
        for name in summed:
            check_choice("loss", name, LOSSES if len(summed) > 1 else ("auto", *LOSSES))
        if len(set(summed)) < len(summed):
            raise InputError(f"`loss` names a loss twice. Received: {self.loss!r}")
        if self.weights is not None and not isinstance(self.weights, str):
            raise InputError(f"`weights` must be text. Received: {self.weights!r}")
        check_augment(self.augment)
        for name in ("data", "split"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "data" and value is None):
                raise InputError(f"`{name}` must be text. Received: {value!r}")
        if self.wce_weights is not None:
            if not isinstance(self.wce_weights, tuple) or len(self.wce_weights) != 2:
                raise InputError(f"`wce_weights` must be two numbers. Received: {self.wce_weights}")
            for weight in self.wce_weights:
                check_number("wce_weights", weight, above=0)
        if self.deep_supervision and self.model != "unetpp":
            raise InputError(f"`deep_supervision` needs model 'unetpp'. Received: {self.model!r}")

    @property
    def resolved_loss(self) -> str:
        """The loss in use: `auto` is the paper's pairing."""
        return PAPER_LOSS[self.model] if self.loss == "auto" else self.loss

    @property
    def split_file(self) -> str | None:
        """The file that names the tiles of each part; None where a rule splits them."""
        return None if self.split in ("random", "group") else self.split

    def to_dict(self) -> dict:
        """Plain values, as written to `config.json`."""
        return dataclasses.asdict(self)

    def options(self) -> dict:
        """Every option by field name (`tile_px` for `--tile-px`), those of `input` among them."""
        return {
            f.name: getattr(self.input if f.name in _INPUT else self, f.name)
            for f in option_fields()
        }

    def to_arguments(self) -> list[str]:
        """The options of `train` that give these values.

        >>> TrainConfig.from_preset("paper", filters=16, tile_px=64).to_arguments()
        ['--preset', 'paper', '--filters', '16', '--tile-px', '64']
        """
        start, words = TrainConfig.from_preset(self.preset).options(), []
        for name, value in self.options().items():
            word = "--" + name.replace("_", "-")
            if value == start[name]:
                continue
            if isinstance(value, bool):
                words.append(word if value else "--no-" + word[2:])
            else:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                # a value that begins with a minus would pass for an option
                words += [f"{word}={text}"] if text.startswith("-") else [word, text]
        return ["--preset", self.preset, *words]

    def with_options(self, **options) -> TrainConfig:
        """A copy of this config with some options changed, given by field name (`tile_px`).

        >>> TrainConfig().with_options(fusion="rgb", filters=16).input.channels
        3
        """
        for name in options:
            check_choice("option", name, [f.name for f in option_fields()])
        inner = {name: value for name, value in options.items() if name in _INPUT}
        outer = {name: value for name, value in options.items() if name not in _INPUT}
        return dataclasses.replace(self, **outer, input=dataclasses.replace(self.input, **inner))

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """The inverse of `to_dict`; keys left out take their defaults."""
        for key in values:
            check_choice("option", key, [f.name for f in dataclasses.fields(cls)])
        return cls(**values)

    @classmethod
    def from_preset(cls, preset: str, **options) -> TrainConfig:
        """Values of a preset, overridden by options under their names on the command line.

        >>> TrainConfig.from_preset("demo", filters=32).input.tile_px
        64
        """
        check_choice("preset", preset, PRESETS)
        return cls(preset=preset).with_options(**{**PRESETS[preset], **options})


def check_augment(names) -> None:
    """Raise `InputError` unless `names` is a list of augmentations.

    >>> check_augment(("flips", "light"))
    >>> check_augment("flips")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `augment` must be a list of ('flips', 'light', ...
    """
    if not isinstance(names, (list, tuple)):
        raise InputError(f"`augment` must be a list of {AUGMENTATIONS}. Received: {names!r}")
    for name in names:
        check_choice("augment", name, AUGMENTATIONS)


def _own_fields() -> list[Field]:
    return [f for f in dataclasses.fields(TrainConfig) if f.name != "input"]


def option_fields() -> list[Field]:
    """The fields of `TrainConfig` and its `InputSpec` that are options of the command line."""
    return _own_fields() + [f for f in dataclasses.fields(InputSpec) if f.metadata]


_INPUT = {f.name for f in dataclasses.fields(InputSpec) if f.metadata}
