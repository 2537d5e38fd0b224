"""The records of a study: all that its report is made of, small, and without paths of a machine."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.files import sha256, write_json
from landslide_tf.study.experiments import Study, read_study, write_study
from landslide_tf.study.records import DEM_SCORES, Record, all_records, read_results
from landslide_tf.training.recorder import write_history

# Figures that show tiles, whose terms may forbid to pass them on.
TILE_FIGURES = ("figure1-samples", "figure5-predictions", "figure6-gradcam-*")


def keep_records(study: Study, out, folder, *, show_tiles: bool = False) -> Study:
    """Write the records of the study in `out` to `folder`; returns the study as it is there.

    The report is then made from them: `report.write_report(kept, folder, with_tiles=False)`.

    For each complete run of the study, the options, environment, history, scores and pixel counts
    are kept, but not the weights, log and pictures. The split is written once, as `split.json`, or
    once per seed where each seed has its own; a run's `environment.json` has the SHA-256 of its
    split. Paths to data and splits are cut down to the name, and commands are rewritten to match.
    Figures that show tiles are copied only with `show_tiles`. `folder` may hold earlier records of
    this study, which are updated.

    Raises:
        InputError: `folder` holds something else, or no run of the study is complete.

    >>> kept = keep_records(read_study("study"), "study", "records")
    >>> kept == read_study("records")
    True
    >>> sorted(path.name for path in Path("records").glob("*.json"))
    ['split.json', 'study.json']
    >>> sorted(path.name for path in Path("records/unet-none-bce-seed0").iterdir())
    ['config.json', 'environment.json', 'history.csv', 'metrics.json', 'tile_scores.npz']
    """
    out, folder = Path(out), Path(folder)
    cleaned = dataclasses.replace(study, base=_without_folders(study.base))
    _check_folder(cleaned, out, folder)
    records = all_records(read_results(study, out))
    if not records:
        raise InputError(f"{out}: holds no complete run of the study; there is nothing to keep")
    folder.mkdir(parents=True, exist_ok=True)
    write_study(cleaned, folder)
    splits = _write_splits(records, study, folder)
    for record in records:
        _keep_run(record, folder / record.folder.name, *splits[record.folder])
    if show_tiles:
        (folder / "figures").mkdir(exist_ok=True)
        for pattern in TILE_FIGURES:
            for path in (out / "figures").glob(f"{pattern}.png"):
                shutil.copyfile(path, folder / "figures" / path.name)
    return cleaned


def _without_folders(config: TrainConfig) -> TrainConfig:
    """The options without the folders of data and split, which are nobody else's business."""
    data, split = config.data and Path(config.data).name, Path(config.split).name
    return dataclasses.replace(config, data=data, split=split)


def _check_folder(study: Study, out: Path, folder: Path) -> None:
    if folder.resolve() == out.resolve():
        raise InputError(f"--records {folder}: is the study itself; give another folder")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    there = read_study(folder) if folder.is_dir() else None
    if there is None:
        raise InputError(f"--records {folder}: holds something else; give a new folder")
    if dataclasses.replace(there, seeds=study.seeds) != study:
        raise InputError(f"--records {folder}: holds another study; give a new folder")


def _write_splits(records: list[Record], study: Study, folder: Path) -> dict[Path, tuple]:
    """Write each distinct split once; returns the file's name and digest by run folder."""
    found, names = {}, {}
    for record in records:
        key = json.dumps(record.split, sort_keys=True)
        if key not in names:
            own = f"split-{record.config.seed - study.base.seed}.json"
            names[key] = own if study.resplit else "split.json"
            write_json(folder / names[key], record.split)
        found[record.folder] = names[key], sha256(folder / names[key])
    return found


def _keep_run(record: Record, folder: Path, split: str, digest: str) -> None:
    folder.mkdir(exist_ok=True)
    config = dataclasses.replace(_without_folders(record.config), split=split)
    write_json(folder / "config.json", config.to_dict())
    command = ["landslide", "train", *config.to_arguments(), "--out", folder.name]
    environment = {"command": shlex.join(command), "split_sha256": digest}
    if "script" in record.environment:
        environment["command"] += f"  # the same options, trained by {record.environment['script']}"
    write_json(folder / "environment.json", {**record.environment, **environment})
    shutil.copyfile(record.folder / "metrics.json", folder / "metrics.json")
    write_history(folder / "history.csv", record.history)
    counts = {"tile_scores.npz": record.tiles, "validation_scores.npz": record.validation_tiles}
    for name, scores in counts.items():
        if scores is not None:
            scores.save(folder / name)
    for name in DEM_SCORES.values():
        if (record.folder / name).is_file():
            content = json.loads((record.folder / name).read_text())
            write_json(folder / name, {**content, "run": folder.name, "data": config.data})
