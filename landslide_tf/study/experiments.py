"""The experiments of the study, as data, and the runs that they amount to.

An experiment is a model, an attention, a loss and a fusion; a run is one seed of it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from landslide_tf import runs
from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import ATTENTIONS, LOSSES, MODELS, PAPER_LOSS, TrainConfig
from landslide_tf.files import write_json

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
    """One row of the matrix; `group` is the part of the paper that it belongs to."""

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
    """What `OUT/study.json` holds: the options common to all runs, and the seeds."""

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
    """One seed of an experiment: its options and its folder."""

    experiment: Experiment
    config: TrainConfig
    folder: Path


def plan(study: Study, out, only: tuple[str, ...] = ()) -> list[PlannedRun]:
    """The runs of a study in `out`, seed by seed; `only` names experiments or groups.

    Raises:
        InputError: a name that is none.
    """
    experiments = matrix(study.base.fusion)
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
    config = dataclasses.replace(
        base,
        model=experiment.model,
        attention=experiment.attention,
        loss=experiment.loss,
        fusion=experiment.fusion or base.fusion,
        seed=base.seed + seed,
        split=split,
    )
    return PlannedRun(experiment, config, out / name)


def split_file(study: Study, out) -> str:
    """The split of all seeds of a study without `resplit`, as a path."""
    if study.base.split in ("random", "group"):
        return str(Path(out) / "split.json")
    return study.base.split


def differences(config: TrainConfig, base: TrainConfig) -> list[str]:
    """What a run's options differ in from a study's base, beyond what a study varies."""
    ours, wanted = config.to_dict(), base.to_dict()
    return [
        f"{name.replace('_', '-')} {ours[name]!r}, study {value!r}"
        for name, value in wanted.items()
        if name not in VARIED and ours[name] != value
    ]


def check_runs(planned: list[PlannedRun], base: TrainConfig) -> None:
    """Raise `InputError` where a folder of the plan holds something else."""
    for run in planned:
        if not runs.is_run(run.folder):  # what else may lie there is for `train` to say
            continue
        stored = runs.read_config(run.folder)
        different = differences(stored, base) + [
            f"{name} {getattr(stored, name)!r}, study {getattr(run.config, name)!r}"
            for name in ("model", "attention", "fusion", "seed")
            if getattr(stored, name) != getattr(run.config, name)
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
    """Write `OUT/study.json`."""
    Path(out).mkdir(parents=True, exist_ok=True)
    content = {"base": study.base.to_dict(), "seeds": study.seeds, "resplit": study.resplit}
    write_json(Path(out) / "study.json", content)
