"""Complete runs of a study, read from their folders: all that tables and figures are made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.files import read_json, reading, sha256
from landslide_tf.study.experiments import Study, differences
from landslide_tf.study.matrices import Experiment
from landslide_tf.training import run_folder
from landslide_tf.training.evaluation import THRESHOLDS, best_threshold
from landslide_tf.training.recorder import read_history
from landslide_tf.training.run_folder import NEW_RUN
from landslide_tf.training.tile_scores import TileScores, read_tile_scores

DEM_SCORES = {"zero": "dem-zero.json", "others": "dem-others.json"}


@dataclass(frozen=True)
class Record:
    """A complete run. `tiles`, `validation_tiles`: None where the run kept no counts of them."""

    folder: Path
    config: TrainConfig
    metrics: dict
    environment: dict
    history: list[dict]
    split: dict
    tiles: TileScores | None
    dem_scores: dict[str, dict]  # test scores with the DEM replaced, by `DEM_SCORES`
    validation_tiles: TileScores | None = None

    @property
    def has_weights(self) -> bool:
        """Whether the folder still holds the model, which figures of predictions need."""
        return (self.folder / "model.keras").is_file()

    @property
    def test(self) -> dict:
        """Scores of the test part (validation where there is none) at threshold 0.5."""
        return self.metrics["test"] or self.metrics["validation"]

    def score(self, metric: str, part: str = "test") -> float:
        """A number of `metrics.json`; NaN where it is undefined or was not taken.

        `part` leads to it: 'test', 'test_chosen', 'batch_norm', 'batch_norm.reestimated.test' …
        """
        found = {**self.metrics, "test": self.test}
        for name in part.split("."):
            found = found.get(name) or {}
        value = found.get(metric)
        return float("nan") if value is None else float(value)

    @property
    def machine(self) -> str:
        """The GPU or processor that times were taken on, and how many runs shared it."""
        where = self.environment
        cores = f"{where['processor']}, {where['cores']} core{'s' if where['cores'] > 1 else ''}"
        name = where.get("gpu_name") or "GPU" if where["gpu"] else cores
        shared = where.get("workers", 1)
        return f"{name}, {shared} runs at one time" if shared > 1 else name


def threshold_again(tiles: TileScores) -> float:
    """The threshold that `evaluation.choose_threshold` gives, from counts of validation tiles."""
    counts = np.array([tiles.counts(threshold).sum(axis=0) for threshold in THRESHOLDS])
    return best_threshold(*counts.T)


@dataclass(frozen=True)
class Result:
    """An experiment with its complete runs (one a seed; none: not run, and the result is false)."""

    experiment: Experiment
    records: tuple[Record, ...]  # in the order of their seeds

    def __bool__(self) -> bool:
        return bool(self.records)

    def of_seeds(self, seeds) -> Result:
        """The same experiment with the runs of these seeds alone."""
        mine = tuple(record for record in self.records if record.config.seed in seeds)
        return Result(self.experiment, mine)

    def values(self, metric: str, part: str = "test") -> np.ndarray:
        """A score of each seed (see `Record.score`); NaN where it is undefined."""
        return np.array([record.score(metric, part) for record in self.records], float)

    def mean(self, metric: str, part: str = "test") -> float:
        """Mean of a score over the seeds; NaN where nothing was run."""
        return float(self.values(metric, part).mean()) if self.records else float("nan")

    @property
    def gap(self) -> float:
        """Mean inference gap: training mIoU that better batch-normalisation statistics add."""
        return self.mean("inference_gap", "batch_norm")


Results = dict[str, Result]  # by the experiment's name, in the order of the matrix


def all_records(results: Results) -> list[Record]:
    """The runs of all experiments, in their order."""
    return [record for result in results.values() for record in result.records]


def on_common_seeds(results: list[Result]) -> list[Result]:
    """The results reduced to the seeds that all of them have: only these can be compared."""
    each = [{record.config.seed for record in result.records} for result in results]
    common = set.intersection(*each) if each else set()
    return [result.of_seeds(common) for result in results]


def read_record(folder) -> Record:
    """The complete run in a folder.

    Raises:
        InputError: config, metrics, environment, split, history or counts cannot be read.

    >>> record = read_record("runs/first")
    >>> record.config.model, len(record.history), record.dem_scores  # the DEM was not replaced
    ('unet', 3, {})
    """
    folder = Path(folder)
    metrics = read_json(folder / "metrics.json", NEW_RUN)
    environment = read_json(folder / "environment.json", NEW_RUN)
    history = read_history(folder / "history.csv")
    epochs, rows = metrics.get("epochs"), len(history)
    if epochs is not None and epochs != rows:
        raise InputError(
            f"{folder / 'history.csv'}: has {rows} epochs, metrics.json has {epochs}; {NEW_RUN}"
        )
    return Record(
        folder=folder,
        config=run_folder.read_config(folder),
        metrics=metrics,
        environment=environment,
        history=history,
        split=_read_split(folder, environment),
        tiles=_counts(folder / "tile_scores.npz"),
        validation_tiles=_counts(folder / "validation_scores.npz"),
        dem_scores={
            name: _dem_scores(folder / file)
            for name, file in DEM_SCORES.items()
            if (folder / file).is_file()
        },
    )


def _counts(path: Path) -> TileScores | None:
    return read_tile_scores(path) if path.is_file() else None


def _read_split(folder: Path, environment: dict) -> dict:
    """The split of a run: its own file, or the file beside it that has the recorded digest."""
    digest, own = environment.get("split_sha256"), folder / "split.json"
    if own.is_file() or digest is None:
        return read_json(own, NEW_RUN)
    for path in sorted(folder.parent.glob("split*.json")):
        if sha256(path) == digest:
            return read_json(path, NEW_RUN)
    raise InputError(
        f"{folder}: its split is missing or was changed; {folder.parent} has no split file "
        f"with the digest {digest[:8]}… that environment.json names"
    )


def _dem_scores(path: Path) -> dict:
    repair = "delete it, it is made again"
    content = read_json(path, repair)
    with reading(path, repair):
        return dict(content["scores"]["default"])


def read_results(study: Study, out) -> Results:
    """The results of a study, in the order of its matrix.

    Every complete run in a folder directly in `out` counts if it has the study's options and one of
    its seeds, whatever its folder is called and whoever started it.

    Raises:
        InputError: runs of one seed that were made from different data or splits, or one run twice.

    >>> from landslide_tf.study.experiments import read_study
    >>> results = read_results(read_study("study"), "study")
    >>> first = results["unet-none-bce"]
    >>> len(first.records), first.mean("miou") == first.records[0].metrics["test"]["miou"]
    (1, True)
    """
    records = []
    for path in sorted(Path(out).glob("*/metrics.json")):
        if not run_folder.is_run(path.parent):
            continue
        record = read_record(path.parent)
        seed = record.config.seed - study.base.seed
        if not differences(record.config, study) and 0 <= seed < study.seeds:
            records.append(record)
    _check_same_data(records, study)
    records.sort(key=lambda record: record.config.seed)
    results = {}
    for experiment in study.experiments:
        key = study.key(experiment.config(study.base))
        ours = tuple(record for record in records if study.key(record.config) == key)
        for one, other in pairwise(ours):
            if one.config.seed == other.config.seed:
                raise InputError(f"{other.folder}: the same run as {one.folder}; remove one")
        results[experiment.name] = Result(experiment, ours)
    return results


def _check_same_data(records: list[Record], study: Study) -> None:
    first = {}
    for record in records:
        data = record.environment["data_sha256"]
        split = [record.split[part] for part in ("train", "validation", "test")]
        seed = record.config.seed if study.resplit else None
        known = first.setdefault(seed, (record.folder, data, split))
        for what, ours, theirs in (("data", data, known[1]), ("split", split, known[2])):
            if ours != theirs:
                raise InputError(
                    f"{record.folder}: was made with another {what} than {known[0]}; "
                    "a study compares runs on the same tiles: remove one of them"
                )
