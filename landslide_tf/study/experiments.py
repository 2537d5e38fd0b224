"""A study: its options, its matrix of experiments, and the runs that they amount to.

A run is one seed of an experiment. `matrices` holds the experiments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import TrainConfig
from landslide_tf.files import read_json, write_json
from landslide_tf.study.matrices import ARCHITECTURE, MATRICES, Experiment
from landslide_tf.training import run_folder

# Options in which a run may differ from the study's base, besides those of its experiment. The
# precision depends on the hardware; `environment.json` records which one was used.
FREE = ("data", "split", "preset", "seed", "mixed_precision")


@dataclass(frozen=True)
class Study:
    """What `OUT/study.json` holds: the options common to all runs, the seeds and the matrix.

    Raises:
        InputError: no seed, an unknown matrix, or `resplit` with a split that is given in a file.

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
    matrix: str = "paper"

    def __post_init__(self):
        check_choice("matrix", self.matrix, MATRICES)
        if self.seeds < 1:
            raise InputError(f"--seeds must be at least 1. Received: {self.seeds}")
        if self.resplit and self.base.split_file:
            raise InputError(
                f"--resplit makes new splits, which the file {self.base.split_file} does not; "
                "give --split random or group"
            )

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """The experiments, in the order in which they run."""
        return MATRICES[self.matrix](self.base)

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the options in which the experiments differ."""
        further = {name for e in self.experiments for name in e.options}
        return (*ARCHITECTURE, *sorted(further))

    def key(self, config: TrainConfig) -> tuple:
        """The values of the varied options: runs with one key are of one experiment.

        >>> Study(TrainConfig()).key(TrainConfig(model="unet"))[:3]  # of the loss 'auto'
        ('unet', 'none', 'bce')
        """
        values = {name: config.options()[name] for name in self.varied}
        return tuple((values | {"loss": config.resolved_loss}).values())


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

    >>> study = Study(TrainConfig(), seeds=2)
    >>> [run.folder.name for run in plan(study, "out", only=("unet-none-bce",))]
    ['unet-none-bce-seed0', 'unet-none-bce-seed1']
    """
    experiments = study.experiments
    groups = dict.fromkeys(e.group for e in experiments)
    for name in only:
        check_choice("only", name, (*groups, *(e.name for e in experiments)))
    chosen = [e for e in experiments if not only or e.name in only or e.group in only]
    return [_planned(study, Path(out), e, seed) for seed in range(study.seeds) for e in chosen]


def _planned(study: Study, out: Path, experiment: Experiment, seed: int) -> PlannedRun:
    base = study.base
    # 'random' and 'group' follow the seed: the first seed's split is kept in a file.
    split = base.split if study.resplit or seed == 0 else split_file(study, out)
    config = dataclasses.replace(experiment.config(base), seed=base.seed + seed, split=split)
    name = f"{experiment.name}-{'split' if study.resplit else 'seed'}{seed}"
    return PlannedRun(experiment, config, out / name)


def split_file(study: Study, out) -> str:
    """The split of all seeds of a study without `resplit`, as a path."""
    return study.base.split_file or str(Path(out) / "split.json")


def differences(config: TrainConfig, study: Study) -> list[str]:
    """Texts on the options of a run that differ from the study's although they must agree.

    >>> differences(TrainConfig(model="unet", epochs=20), Study(TrainConfig()))
    ['epochs 20, study 50']
    """
    ours, wanted = config.options(), study.base.options()
    return [
        f"{name.replace('_', '-')} {ours[name]!r}, study {value!r}"
        for name, value in wanted.items()
        if name not in (*FREE, *study.varied) and ours[name] != value
    ]


def check_runs(planned: list[PlannedRun], study: Study) -> None:
    """Raise `InputError` if a folder of the plan holds a run with other options or another seed."""
    for run in planned:
        if not run_folder.is_run(run.folder):  # what else may lie there is for `train` to say
            continue
        stored = run_folder.read_config(run.folder)
        names = (*study.varied, "seed")
        theirs, ours = ((*study.key(c), c.seed) for c in (stored, run.config))
        different = differences(stored, study) + [
            f"{name.replace('_', '-')} {there!r}, study {here!r}"
            for name, there, here in zip(names, theirs, ours, strict=True)
            if there != here
        ]
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
    repair = "delete it to begin anew"
    content = read_json(path, repair)
    try:
        base = TrainConfig.from_dict(content["base"])
        matrix = content.get("matrix", "paper")  # the only one that there was at first
        return Study(base, content["seeds"], content["resplit"], matrix)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({error}); {repair}") from None


def write_study(study: Study, out) -> None:
    """Write `OUT/study.json`.

    >>> study = Study(TrainConfig(filters=8), seeds=2)
    >>> write_study(study, "out")
    >>> read_study("out") == study
    True
    """
    Path(out).mkdir(parents=True, exist_ok=True)
    write_json(Path(out) / "study.json", {**vars(study), "base": study.base.to_dict()})
