"""The experiments of the study, as data, and the runs that they amount to.

An experiment is a model, an attention, a loss and a fusion; a run is one seed of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import ATTENTIONS, LOSSES, MODELS, PAPER_LOSS, TrainConfig
from landslide_tf.files import write_json
from landslide_tf.training import run_folder

GROUPS = ("six", "ablation", "losses")
# The shown names, as the paper writes them.
MODEL_TITLES = {"unet": "U-Net", "resunet": "ResUNet", "unetpp": "U-Net++"}
ATTENTION_TITLES = {
    "none": "",
    "spatial": " spatial",
    "contextual": " contextual",
    "spatial_contextual": " spatial + contextual",
}
LOSS_TITLES = {"bce": "BCE", "focal": "focal", "dice": "Dice", "wce": "WCE"}
# What a run may differ in from the study's base; the rest must agree.
VARIED = ("data", "split", "preset", "model", "attention", "loss", "fusion", "seed")


@dataclass(frozen=True)
class Experiment:
    """One row of the matrix; `group` is the part of the paper that it belongs to.

    >>> Experiment("resunet", "none", "wce").name
    'resunet-none-wce'
    >>> Experiment("unetpp", "contextual", "dice", "rgb", "ablation").name
    'unetpp-contextual-dice-rgb'
    """

    model: str
    attention: str
    loss: str
    fusion: str | None = None  # None: that of the study's base
    group: str = "six"

    @property
    def name(self) -> str:
        """Of the run folder: MODEL-ATTENTION-LOSS, and the fusion where it is another."""
        return "-".join(filter(None, (self.model, self.attention, self.loss, self.fusion)))

    @property
    def title(self) -> str:
        """As a reader sees it.

        >>> Experiment("unetpp", "contextual", "dice", "rgb").title
        'U-Net++ contextual (Dice, rgb)'
        """
        inside = ", ".join(filter(None, (LOSS_TITLES[self.loss], self.fusion)))
        return f"{MODEL_TITLES[self.model]}{ATTENTION_TITLES[self.attention]} ({inside})"


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
# Not in the paper: what its best model makes of the DEM.
ABLATION = tuple(
    Experiment("unetpp", "contextual", "dice", fusion, "ablation")
    for fusion in ("rgb", "bottleneck")
)


def matrix(fusion: str) -> tuple[Experiment, ...]:
    """All experiments of a study, in the order in which they run.

    A study without the DEM (`fusion` 'rgb') has no ablation.

    >>> len(matrix("early")), len(matrix("rgb"))
    (17, 15)
    """
    ablation = () if fusion == "rgb" else tuple(e for e in ABLATION if e.fusion != fusion)
    return SIX + ablation + OTHER_LOSSES


@dataclass(frozen=True)
class Study:
    """What `OUT/study.json` holds: the options common to all runs, and the seeds.

    Raises:
        InputError: no seed, or `resplit` with a split that is given in a file.

    >>> study = Study(TrainConfig(data="tiles", epochs=10), seeds=3)
    >>> len(plan(study, "out"))  # 17 experiments
    51
    >>> Study(TrainConfig(split="split.json"), seeds=3, resplit=True)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: --resplit makes new splits, which the file split.json does ...
    """

    base: TrainConfig
    seeds: int = 1
    resplit: bool = False  # each seed has a split of its own

    def __post_init__(self):
        if self.seeds < 1:
            raise InputError(f"--seeds must be at least 1. Received: {self.seeds}")
        if self.resplit and self.base.split not in ("random", "group"):
            raise InputError(
                f"--resplit makes new splits, which the file {self.base.split} does not; "
                "give --split random or group"
            )


@dataclass(frozen=True)
class PlannedRun:
    """One seed of an experiment: its options and its folder.

    >>> run = plan(Study(TrainConfig()), "out")[0]
    >>> run.experiment.title, run.folder.name, run.config.model, run.config.loss
    ('U-Net (BCE)', 'unet-none-bce', 'unet', 'bce')
    """

    experiment: Experiment
    config: TrainConfig
    folder: Path


def plan(study: Study, out, only: tuple[str, ...] = ()) -> list[PlannedRun]:
    """The runs of a study in `out`, seed by seed; `only` names experiments or groups.

    Raises:
        InputError: a name that is none.

    >>> study = Study(TrainConfig(), seeds=2)
    >>> [run.folder.name for run in plan(study, "out", only=("unet-none-bce", "unetpp-none-dice"))]
    ['unet-none-bce', 'unetpp-none-dice', 'unet-none-bce-seed1', 'unetpp-none-dice-seed1']
    >>> plan(study, "out", only=("unet",))
    Traceback (most recent call last):
    landslide_tf.checks.InputError: `only` must be one of 'six', 'ablation', 'losses', ...
    """
    experiments = matrix(study.base.input.fusion)
    for name in only:
        check_choice("only", name, (*GROUPS, *(e.name for e in experiments)))
    chosen = [e for e in experiments if not only or e.name in only or e.group in only]
    return [_planned(study, Path(out), e, seed) for seed in range(study.seeds) for e in chosen]


def _planned(study: Study, out: Path, experiment: Experiment, seed: int) -> PlannedRun:
    base, name, split = study.base, experiment.name, study.base.split
    if seed > 0:
        name += f"-{'split' if study.resplit else 'seed'}{seed}"
        # 'random' and 'group' follow the seed: the first seed's split is kept in a file.
        split = split if study.resplit else split_file(study, out)
    config = base.with_options(
        model=experiment.model,
        attention=experiment.attention,
        loss=experiment.loss,
        fusion=experiment.fusion or base.input.fusion,
        seed=base.seed + seed,
        split=split,
    )
    return PlannedRun(experiment, config, out / name)


def split_file(study: Study, out) -> str:
    """The split of all seeds of a study without `resplit`, as a path.

    >>> from pathlib import Path
    >>> Path(split_file(Study(TrainConfig(split="random")), "out")).name
    'split.json'
    >>> split_file(Study(TrainConfig(split="mine.json")), "out")
    'mine.json'
    """
    if study.base.split in ("random", "group"):
        return str(Path(out) / "split.json")
    return study.base.split


def differences(config: TrainConfig, base: TrainConfig) -> list[str]:
    """What a run's options differ in from a study's base, beyond what a study varies.

    >>> differences(TrainConfig(model="unet", epochs=20), TrainConfig())  # a study varies the model
    ['epochs 20, study 50']
    """
    ours, wanted = config.options(), base.options()
    return [
        f"{name.replace('_', '-')} {ours[name]!r}, study {value!r}"
        for name, value in wanted.items()
        if name not in VARIED and ours[name] != value
    ]


def check_runs(planned: list[PlannedRun], base: TrainConfig) -> None:
    """Raise `InputError` where a folder of the plan holds something else.

    >>> study = read_study("study")
    >>> check_runs(plan(study, "study"), study.base)  # the runs of this study: nothing to say
    >>> other = Study(TrainConfig(epochs=50))
    >>> check_runs(plan(other, "study"), other.base)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: study...unet-none-bce: was made with other options (...
    """
    for run in planned:
        if not run_folder.is_run(run.folder):  # what else may lie there is for `train` to say
            continue
        stored = run_folder.read_config(run.folder)
        different = differences(stored, base) + [
            f"{name} {stored.options()[name]!r}, study {value!r}"
            for name, value in run.config.options().items()
            if name in ("model", "attention", "fusion", "seed") and stored.options()[name] != value
        ]
        if stored.resolved_loss != run.config.resolved_loss:
            different.append(f"loss {stored.resolved_loss!r}, study {run.config.loss!r}")
        if different:
            raise InputError(
                f"{run.folder}: was made with other options ({'; '.join(different)}); "
                "give the same, or another --out"
            )


def read_study(out) -> Study | None:
    """The study that `out` was begun with; None where there is none.

    Raises:
        InputError: its file is damaged.

    >>> read_study("study").base.epochs
    3
    >>> read_study("elsewhere") is None
    True
    """
    path = Path(out) / "study.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        return Study(TrainConfig.from_dict(content["base"]), content["seeds"], content["resplit"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it to begin anew") from None


def write_study(study: Study, out) -> None:
    """Write `OUT/study.json`.

    >>> study = Study(TrainConfig(filters=8), seeds=2)
    >>> write_study(study, "out")
    >>> read_study("out") == study
    True
    """
    Path(out).mkdir(parents=True, exist_ok=True)
    content = {"base": study.base.to_dict(), "seeds": study.seeds, "resplit": study.resplit}
    write_json(Path(out) / "study.json", content)
