"""Complete runs of a study, read from their folders: all that tables and figures are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.study.experiments import Experiment, Study, differences, matrix
from landslide_tf.training import run_folder
from landslide_tf.training.recorder import read_history
from landslide_tf.training.tile_scores import TileScores, read_tile_scores

DEM_SCORES = {"zero": "dem-zero.json", "others": "dem-others.json"}


@dataclass(frozen=True)
class Record:
    """A complete run. `tiles` is None where the run kept no counts of its tiles.

    >>> record = read_record("runs/first")
    >>> record.config.model, len(record.history), record.metrics["tiles"]["test"]
    ('unet', 3, 2)
    """

    folder: Path
    config: TrainConfig
    metrics: dict
    environment: dict
    history: list[dict]
    split: dict
    tiles: TileScores | None
    dem_scores: dict[str, dict]  # test scores with the DEM replaced, by `DEM_SCORES`

    @property
    def has_weights(self) -> bool:
        """Whether the folder still holds the model, which figures of predictions need."""
        return (self.folder / "model.keras").is_file()

    @property
    def test(self) -> dict:
        """Scores of the test part (validation where there is none) at threshold 0.5."""
        return self.metrics["test"] or self.metrics["validation"]

    @property
    def machine(self) -> str:
        """What times were taken on: 'GPU', '1 core', '2 cores' …"""
        cores = self.environment["cores"]
        if self.environment["gpu"]:
            return "GPU"
        return "1 core" if cores == 1 else f"{cores} cores"

    @property
    def seconds_per_epoch(self) -> float:
        """Of the fastest epoch: other work on the machine only ever adds."""
        return min(row["seconds"] for row in self.history)


@dataclass(frozen=True)
class Result:
    """An experiment with its complete runs (one a seed; none: not run).

    >>> from landslide_tf.study.experiments import SIX, read_study
    >>> results = read_results(read_study("study"), "study")
    >>> result = results["unet-none-bce"]
    >>> len(result.records), len(result.values("miou")), result.deviation("miou")  # one seed
    (1, 1, nan)
    >>> bool(Result(SIX[0], ())), Result(SIX[0], ()).mean("miou")  # not run
    (False, nan)
    """

    experiment: Experiment
    records: tuple[Record, ...]  # in the order of their seeds

    def __bool__(self) -> bool:
        return bool(self.records)

    def of_seeds(self, seeds) -> Result:
        """The same experiment with the runs of these seeds alone."""
        mine = tuple(record for record in self.records if record.config.seed in seeds)
        return Result(self.experiment, mine)

    @property
    def fastest(self) -> Record:
        """The run with the shortest epoch: other work on the machine only ever adds."""
        return min(self.records, key=lambda record: record.seconds_per_epoch)

    def values(self, metric: str, part: str = "test") -> np.ndarray:
        """A score of each seed; NaN where it is undefined."""
        scores = [(r.test if part == "test" else r.metrics[part]) or {} for r in self.records]
        return np.array([np.nan if s.get(metric) is None else s[metric] for s in scores], float)

    def mean(self, metric: str, part: str = "test") -> float:
        """Mean of a score over the seeds; NaN where nothing was run."""
        return float(self.values(metric, part).mean()) if self.records else float("nan")

    def deviation(self, metric: str, part: str = "test") -> float:
        """Sample standard deviation over the seeds; NaN for fewer than two."""
        values = self.values(metric, part)
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def on_common_seeds(results: list[Result]) -> list[Result]:
    """The results with the seeds alone that all of them have: others do not compare.

    >>> from landslide_tf.study.experiments import SIX
    >>> first = read_record("runs/first")
    >>> one, none = on_common_seeds([Result(SIX[0], (first,)), Result(SIX[1], ())])
    >>> len(one.records)  # no seed in common
    0
    """
    each = [{record.config.seed for record in result.records} for result in results]
    common = set.intersection(*each) if each else set()
    return [result.of_seeds(common) for result in results]


def read_record(folder) -> Record:
    """The complete run in a folder.

    Raises:
        InputError: config, metrics, environment, split, history or counts cannot be read.

    >>> record = read_record("runs/first")
    >>> record.folder.name, record.has_weights, record.dem_scores  # the DEM was not replaced
    ('first', True, {})
    >>> 0 <= record.test["miou"] <= 1
    True
    """
    folder = Path(folder)
    content = {}
    for name in ("metrics", "environment", "split"):
        try:
            content[name] = json.loads((folder / f"{name}.json").read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / name}.json: cannot be read ({error})") from None
    try:
        content["history"] = read_history(folder / "history.csv")
    except (OSError, ValueError) as error:  # pandas' errors are ValueErrors
        raise InputError(f"{folder / 'history.csv'}: cannot be read ({error})") from None
    tiles = folder / "tile_scores.npz"
    return Record(
        folder,
        run_folder.read_config(folder),
        **content,
        tiles=read_tile_scores(tiles) if tiles.is_file() else None,
        dem_scores={
            name: _dem_scores(folder / file)
            for name, file in DEM_SCORES.items()
            if (folder / file).is_file()
        },
    )


def _dem_scores(path: Path) -> dict:
    try:
        return json.loads(path.read_text())["scores"]["default"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it, it is made again") from None


def read_results(study: Study, out) -> dict[str, Result]:
    """The results of a study by experiment name, in the order of the matrix.

    Every complete run below `out` that has the study's options counts, whatever its folder is
    called and whoever started it.

    Raises:
        InputError: runs of one seed that were made from different data or splits.

    >>> from landslide_tf.study.experiments import read_study
    >>> results = read_results(read_study("study"), "study")
    >>> list(results)[:3]
    ['unet-none-bce', 'resunet-none-wce', 'unetpp-none-dice']
    >>> len(results["unet-none-bce"].records)  # one seed
    1
    """
    records = []
    for path in sorted(Path(out).glob("*/metrics.json")):
        if not run_folder.is_run(path.parent):
            continue
        record = read_record(path.parent)
        seed = record.config.seed - study.base.seed
        if not differences(record.config, study.base) and 0 <= seed < study.seeds:
            records.append(record)
    _check_same_data(records, study)
    results = {}
    for experiment in matrix(study.base.input.fusion):
        mine = [r for r in records if _key(r.config) == _experiment_key(experiment, study.base)]
        by_seed = {r.config.seed: r for r in mine}
        results[experiment.name] = Result(
            experiment, tuple(by_seed[seed] for seed in sorted(by_seed))
        )
    return results


def _key(config: TrainConfig) -> tuple:
    return config.model, config.attention, config.resolved_loss, config.input.fusion


def _experiment_key(experiment: Experiment, base: TrainConfig) -> tuple:
    fusion = experiment.fusion or base.input.fusion
    return experiment.model, experiment.attention, experiment.loss, fusion


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
