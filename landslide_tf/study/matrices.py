"""The experiments of each kind of study, as literal tables.

The matrices 'paper' and 'batch-norm' name models and losses themselves. 'dem' and 'strong' vary the
options of one recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from landslide_tf.config import PAPER_LOSS, TrainConfig

# The paper's models, attentions and losses, and their names as it writes them. What is added to
# those of `landslide_tf.config` is no part of its tables.
MODEL_TITLES = {"unet": "U-Net", "resunet": "ResUNet", "unetpp": "U-Net++"}
ATTENTION_TITLES = {
    "none": "",
    "spatial": " spatial",
    "contextual": " contextual",
    "spatial_contextual": " spatial + contextual",
}
LOSS_TITLES = {"bce": "BCE", "focal": "focal", "dice": "Dice", "wce": "WCE"}
MODELS, ATTENTIONS, LOSSES = map(tuple, (MODEL_TITLES, ATTENTION_TITLES, LOSS_TITLES))
ARCHITECTURE = ("model", "attention", "loss")


@dataclass(frozen=True)
class Experiment:
    """One row of a matrix; `group` is the part of the matrix that it belongs to.

    `options` are further options of `TrainConfig` that the row sets, and `label` names them.

    >>> one = Experiment("unet", "none", "bce", label="levels2", options={"dropout_levels": 2})
    >>> one.name, one.title
    ('unet-none-bce-levels2', 'U-Net (BCE, levels2)')
    """

    model: str
    attention: str
    loss: str
    group: str = "six"
    label: str = ""
    options: dict = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Start of the run folder's name: MODEL-ATTENTION-LOSS and the label."""
        return "-".join(filter(None, (self.model, self.attention, self.loss, self.label)))

    @property
    def title(self) -> str:
        """As a reader sees it: 'U-Net++ contextual (Dice, rgb)'."""
        loss = LOSS_TITLES.get(self.loss, self.loss)
        inside = ", ".join(filter(None, (loss, self.label.replace("-", " "))))
        return f"{MODEL_TITLES[self.model]}{ATTENTION_TITLES[self.attention]} ({inside})"

    def config(self, base: TrainConfig) -> TrainConfig:
        """The options of a run of this experiment in a study with the options `base`."""
        names = {name: getattr(self, name) for name in ARCHITECTURE}
        return base.with_options(**names, **self.options)


def relative(base: TrainConfig, rows, group: str) -> tuple[Experiment, ...]:
    """Experiments that differ from `base` alone in the options of each row (label, options).

    >>> rows = (("full", {}), ("no-augment", {"augment": ()}))
    >>> [e.name for e in relative(TrainConfig(model="unet", augment=("flips",)), rows, "ablation")]
    ['unet-none-bce-full', 'unet-none-bce-no-augment']
    """
    made = []
    for label, options in rows:
        config = base.with_options(**options)
        rest = {name: value for name, value in options.items() if name not in ARCHITECTURE}
        names = (config.model, config.attention, config.resolved_loss)
        made.append(Experiment(*names, group=group, label=label, options=rest))
    return tuple(made)


# Tables 2 and 3: the base models with the paper's losses, then U-Net++ with the attentions.
SIX = tuple(Experiment(model, "none", PAPER_LOSS[model]) for model in MODELS) + tuple(
    Experiment("unetpp", attention, PAPER_LOSS["unetpp"]) for attention in ATTENTIONS[1:]
)
# Table 1: the base models with the other losses.
OTHER_LOSSES = tuple(
    Experiment(model, "none", loss, group="losses")
    for model in MODELS
    for loss in LOSSES
    if loss != PAPER_LOSS[model]
)
# Not in the paper: what its best model makes of the DEM. Terrain channels need a DEM.
ABLATION = tuple(
    Experiment("unetpp", "contextual", "dice", "ablation", label, options)
    for label, options in (
        ("rgb", {"fusion": "rgb", "terrain": ()}),
        ("bottleneck", {"fusion": "bottleneck"}),
    )
)
# Dropout at 0, 1 and 2 of the deepest levels, in the base models with the paper's losses.
BATCH_NORM = tuple(
    Experiment(
        model,
        "none",
        PAPER_LOSS[model],
        model,
        f"levels{levels}",
        {"dropout_levels": levels, "reestimate_batch_norm": False},
    )
    for model in MODELS
    for levels in (0, 1, 2)
)
# Where RGB and DEM meet, in one recipe. The first row is what the others are compared with.
DEM = (
    ("rgb", {"fusion": "rgb", "terrain": ()}),
    ("early", {"fusion": "early"}),
    ("bottleneck", {"fusion": "bottleneck"}),
)
# What each part of the preset 'strong' gives: one part left out, or another one in its place.
STRONG = (
    ("full", {}),
    ("no-flips", {"augment": ("light", "colour")}),
    ("no-light", {"augment": ("flips", "colour")}),
    ("no-colour", {"augment": ("flips", "light")}),
    ("no-average", {"ema": 0.0}),
    ("no-decay", {"weight_decay": 0.0}),
    ("no-warmup", {"warmup_epochs": 0.0}),
    ("bce-alone", {"loss": "bce"}),
    ("dice-alone", {"loss": "dice"}),
    ("40-epochs", {"epochs": 40}),
    ("40-epochs-simple", {"epochs": 40, "ema": 0.0, "weight_decay": 0.0, "warmup_epochs": 0.0,
                          "augment": ("flips", "light")}),
    ("scale", {"augment": ("flips", "light", "scale", "colour")}),
    ("scale-no-colour", {"augment": ("flips", "light", "scale")}),
    ("scale-no-average", {"augment": ("flips", "light", "scale", "colour"), "ema": 0.0}),
    ("scale-40-epochs", {"augment": ("flips", "light", "scale", "colour"), "epochs": 40}),
    ("dropout-0.2", {"dropout": 0.2}),
    ("32-filters", {"filters": 32}),
    ("resunet", {"model": "resunet"}),
    ("unetpp", {"model": "unetpp"}),
    ("contextual", {"attention": "contextual"}),
)  # fmt: skip


def paper(base: TrainConfig) -> tuple[Experiment, ...]:
    """The paper's six models, its other losses, and what the DEM is worth.

    A study without the DEM (fusion 'rgb') has no ablation.
    """
    fusion = base.input.fusion
    others = () if fusion == "rgb" else tuple(e for e in ABLATION if e.label != fusion)
    return SIX + others + OTHER_LOSSES


# By name: the experiments of a study with the options `base`, in the order in which they run.
MATRICES = {
    "paper": paper,
    "batch-norm": lambda base: BATCH_NORM,
    "dem": lambda base: relative(base, DEM, "dem"),
    "strong": lambda base: relative(base, STRONG, "strong"),
}
# Matrices of one recipe: its model, attention and loss are options of the study.
OF_ONE_RECIPE = ("dem", "strong")
