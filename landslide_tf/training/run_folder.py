"""The folder of a training run: what it holds, and when it is complete.

It holds `config.json`, `input.json`, `split.json`, `environment.json`, `history.csv`,
`model.keras`, pixel counts of the test and validation tiles (`tile_scores.npz`,
`validation_scores.npz`), figures, and `metrics.json`, which is written last and therefore marks a
complete run. While a run is under way, `checkpoint/` holds its state.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.files import SCRATCH, check_outputs, read_json, reading

FILES = ("config.json", "split.json", "environment.json", "input.json", "history.csv",
         "model.keras", "tile_scores.npz", "metrics.json")  # fmt: skip
STATE = "checkpoint/state.npz"
NEW_RUN = "restore it from a copy, or train the run again with --overwrite"


def is_complete(folder) -> bool:
    """Whether the run in `folder` has ended and was scored.

    >>> is_complete("runs/first")
    True
    """
    return (Path(folder) / "metrics.json").is_file()


def is_run(folder) -> bool:
    """Whether `folder` holds a run, complete or not.

    >>> is_run("runs/first"), is_run("tiles")
    (True, False)
    """
    return (Path(folder) / "config.json").is_file()


def read_config(folder) -> TrainConfig:
    """The options of the run in `folder`; `InputError` where it holds none.

    >>> read_config("runs/first").model
    'unet'
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: is not a run folder (no config.json)")
    content = read_json(path, NEW_RUN)
    try:
        return TrainConfig.from_dict(content)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); {NEW_RUN}") from None


def read_split_and_metrics(folder) -> tuple[dict, dict]:
    """`split.json` and `metrics.json` of the complete run in `folder`.

    Raises:
        InputError: one of them is missing or damaged.

    >>> split, metrics = read_split_and_metrics("runs/first")
    >>> len(split["train"]), 0 <= metrics["thresholds"]["chosen"] <= 1
    (8, True)
    """
    folder = Path(folder)
    split = read_json(folder / "split.json", NEW_RUN)
    metrics = read_json(folder / "metrics.json", NEW_RUN)
    with reading(folder / "metrics.json", NEW_RUN):
        float(metrics["thresholds"]["chosen"])
    return split, metrics


def run_files(folder) -> list[Path]:
    """The files that a complete run is read from, whether they exist or not.

    >>> [path.name for path in run_files("runs/first")][:2]
    ['config.json', 'split.json']
    """
    return [Path(folder) / name for name in FILES]


def choose_folder(config: TrainConfig, out, *, resume: bool, runs="runs") -> Path:
    """The run's folder: `out`, or the next free `runs/MODEL-ATTENTION-LOSS-NNN`.

    With `resume` and no `out`: the newest such folder with the same options, if there is one.

    >>> config = TrainConfig(model="unetpp", attention="contextual")
    >>> choose_folder(config, None, resume=False).name
    'unetpp-contextual-dice-001'
    """
    if out is not None:
        return Path(out)
    runs, start = Path(runs), f"{config.model}-{config.attention}-{config.resolved_loss}-"
    taken = sorted(
        (p for p in runs.glob(f"{start}*") if p.name.removeprefix(start).isdigit()),
        key=lambda p: int(p.name.removeprefix(start)),
    )
    if resume:
        for folder in reversed(taken):
            if is_run(folder) and read_config(folder) == config:
                return folder
    number = int(taken[-1].name.removeprefix(start)) + 1 if taken else 1
    return runs / f"{start}{number:03d}"


def check_folder(folder: Path, config: TrainConfig, *, resume: bool, overwrite: bool) -> str:
    """What to do with the run's folder: 'start', 'continue' or 'done'.

    Raises:
        InputError: it holds a run that neither `resume` nor `overwrite` (exclusive) applies to, or
            other files, or a run of other options, or a damaged one; or `overwrite` would replace
            the data or the split file that the run is to be made of.

    >>> config = read_config("runs/first")
    >>> check_folder(Path("runs/first"), config, resume=True, overwrite=False)
    'done'
    >>> check_folder(Path("runs/second"), config, resume=True, overwrite=False)
    'start'
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give one of them")
    if not folder.exists():
        return "start"
    if folder.is_dir() and all(path.name.startswith(SCRATCH) for path in folder.iterdir()):
        return "start"
    if not is_run(folder):
        raise InputError(f"{folder}: exists and is not a run folder; give another --out")
    if overwrite:
        check_outputs([folder], [config.data, config.split_file])
        return "start"
    state = "complete" if is_complete(folder) else "incomplete"
    if not resume:
        way = "--overwrite to replace it" if state == "complete" else (
            "--resume to continue it, --overwrite to start anew"
        )  # fmt: skip
        raise InputError(f"{folder}: holds a run that is {state}; give {way}, or another --out")
    stored = read_config(folder).options()
    different = [
        f"{name} ({stored[name]!r} there, {value!r} now)"
        for name, value in config.options().items()
        if stored[name] != value
    ]
    if different:
        raise InputError(
            f"{folder}: was started with other options: {', '.join(different)}; "
            "give the same, or another --out"
        )
    if state == "complete":
        read_split_and_metrics(folder)
        return "done"
    if (folder / STATE).exists() and not (folder / "split.json").exists():
        raise InputError(
            f"{folder}: has a checkpoint and no split.json, so that nothing tells which tiles it "
            f"was trained on; {NEW_RUN}"
        )
    return "continue"


def clear_folder(folder: Path) -> None:
    """Make the folder of a run anew; it must hold a run or nothing.

    Raises:
        InputError: it cannot be made there.

    >>> clear_folder(Path("runs/second"))
    >>> Path("runs/second").is_dir()
    True
    """
    try:
        if folder.exists() and is_run(folder):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); give another --out"
        ) from None
