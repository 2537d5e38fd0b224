"""The paper's tables with our scores beside them, as data frames made from run folders alone."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np
import pandas as pd

from landslide_tf.config import LOSSES, MODELS
from landslide_tf.study.bootstrap import interval
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import ATTENTION_TITLES, LOSS_TITLES, MODEL_TITLES, SIX
from landslide_tf.study.records import DEM_SCORES, Result, on_common_seeds
from landslide_tf.study.verdicts import LEAST_SEEDS

METRICS = ("miou", "auc", "precision", "recall", "f1", "accuracy")
Results = dict[str, Result]


def paper_values() -> dict[tuple[str, str, str], float]:
    """The paper's numbers by (table, row, column).

    >>> paper_values()["3", "unetpp-contextual", "miou"]
    0.76
    """
    text = resources.files("landslide_tf.study").joinpath("paper.csv").read_text()
    return {
        (row["table"], row["row"], row["column"]): float(row["value"])
        for row in csv.DictReader(text.splitlines())
    }


def best_on_validation(results: list[Result]) -> Result | None:
    """The result with the highest validation mIoU over the seeds that all have.

    None unless there are two with a seed in common to choose from.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> best_on_validation(loss_results(results, "unet")).experiment.title
    'U-Net (WCE)'
    >>> best_on_validation([results["unet-none-bce"]]) is None
    True
    """
    made = [result for result in results if result]
    alike = on_common_seeds(made)
    if len(made) < 2 or not all(alike):
        return None
    return made[np.argmax([result.mean("miou", "validation") for result in alike])]


def loss_results(results: Results, model: str) -> list[Result]:
    """The base model's results under the four losses, in their order.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> [result.experiment.loss for result in loss_results(results, "unet")]
    ['bce', 'focal', 'dice', 'wce']
    """
    return [results[f"{model}-none-{loss}"] for loss in LOSSES]


def our_choices(results: Results) -> list[Result]:
    """Per base model, the loss that is best on validation, where it is not the paper's.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> [choice.experiment.name for choice in our_choices(results)]
    ['unet-none-wce', 'resunet-none-dice', 'unetpp-none-wce']
    """
    chosen = [best_on_validation(loss_results(results, model)) for model in MODELS]
    return [choice for choice in chosen if choice and choice.experiment not in SIX]


def table1(results: Results) -> pd.DataFrame:
    """mIoU of the base models under each loss: test, validation, the paper's.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> table1(results)[["model", "loss", "miou_paper", "our_choice"]].head(4)
       model   loss  miou_paper  our_choice
    0  U-Net    BCE       0.575       False
    1  U-Net  focal       0.572       False
    2  U-Net   Dice       0.557       False
    3  U-Net    WCE       0.508        True
    """
    paper, rows = paper_values(), []
    for model in MODELS:
        of_model = loss_results(results, model)
        best = best_on_validation(of_model)
        alike = {r.experiment: r for r in on_common_seeds([r for r in of_model if r])}
        for result in of_model:
            loss = result.experiment.loss
            rows.append(
                {
                    "model": MODEL_TITLES[model],
                    "loss": LOSS_TITLES[loss],
                    **_cells(result, "miou", paper["1", model, loss]),
                    # of the seeds that the choice is made on
                    "validation": alike.get(result.experiment, result).mean("miou", "validation"),
                    **score_cells(result, "miou", "test_chosen", "miou_chosen"),
                    "gap": result.gap,
                    "our_choice": bool(result and result is best),
                    "seeds": len(result.records),
                }
            )
    return pd.DataFrame(rows)


def _cells(result: Result, metric: str, paper: float | None) -> dict:
    ours, paper = result.mean(metric), np.nan if paper is None else paper
    return {
        **score_cells(result, metric),
        f"{metric}_paper": paper,
        f"{metric}_difference": ours - paper,
    }


def score_cells(result: Result, metric: str, part: str = "test", name: str = "") -> dict:
    """The mean of a score over seeds, its spread and, of the test part, its interval over tiles.

    `_sd` from three seeds on, `_min` and `_max` of all, `_low` and `_high` of the interval. The
    cells are called after the metric, or `name`.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> list(score_cells(results["unet-none-bce"], "miou", "test_chosen", "chosen"))
    ['chosen', 'chosen_sd', 'chosen_min', 'chosen_max']
    """
    name, values = name or metric, result.values(metric, part)
    several = len(values) >= LEAST_SEEDS
    cells = {
        name: result.mean(metric, part),
        f"{name}_sd": result.deviation(metric, part) if several else np.nan,
        f"{name}_min": values.min() if len(values) else np.nan,
        f"{name}_max": values.max() if len(values) else np.nan,
    }
    if part == "test":
        between = interval(result, metric)
        cells[f"{name}_low"] = between.low if between else np.nan
        cells[f"{name}_high"] = between.high if between else np.nan
    return cells


def table2(results: Results) -> pd.DataFrame:
    """The base models with the paper's losses.

    Scores with standard deviation, interval, the paper's number and the difference, as in `table3`.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> table2(results)[["model", "loss", "miou_paper"]]
         model  loss  miou_paper
    0    U-Net   BCE        0.50
    1  ResUNet   WCE        0.70
    2  U-Net++  Dice        0.75
    """
    return _score_table(results, [e.name for e in SIX if e.attention == "none"], "2")


def table3(results: Results) -> pd.DataFrame:
    """The six models, our own choices of loss, and the baselines that any model should beat.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> frame = table3(results)
    >>> frame.kind.value_counts(sort=False).to_dict()
    {'paper': 6, 'our choice on validation': 3, 'baseline': 2}
    >>> frame.columns[4:8].tolist()
    ['miou', 'miou_sd', 'miou_min', 'miou_max']
    """
    names = [e.name for e in SIX] + [r.experiment.name for r in our_choices(results)]
    return pd.concat(
        [_score_table(results, names, "3"), pd.DataFrame(_baselines(results))], ignore_index=True
    )


def _score_table(results: Results, names: list[str], table: str) -> pd.DataFrame:
    paper, rows = paper_values(), []
    for name in names:
        result = results[name]
        experiment = result.experiment
        row = f"{experiment.model}-{experiment.attention}"
        scores = {}
        for metric in METRICS:
            printed = paper[table, row, metric] if experiment in SIX else None
            scores |= _cells(result, metric, printed)
        rows.append(
            {
                "model": MODEL_TITLES[experiment.model] + ATTENTION_TITLES[experiment.attention],
                "loss": LOSS_TITLES[experiment.loss],
                "kind": "paper" if experiment in SIX else "our choice on validation",
                "seeds": len(result.records),
                **scores,
                "miou_table1": paper.get(("1", experiment.model, experiment.loss), np.nan)
                if experiment.attention == "none"
                else np.nan,
                "miou_validation": result.mean("miou", "validation"),
                **score_cells(result, "miou", "test_chosen", "miou_chosen"),
                "gap": result.gap,
            }
        )
    return pd.DataFrame(rows)


def _baselines(results: Results) -> list[dict]:
    record = next((r for result in results.values() for r in result.records), None)
    baselines = (record.metrics["baseline"] if record else None) or {}
    titles = {"background": "all background", "threshold": "best single cut"}
    return [
        {
            "model": titles[name],
            "loss": scores.get("rule", ""),
            "kind": "baseline",
            **{m: np.nan if scores[m] is None else scores[m] for m in METRICS},
        }
        for name, scores in baselines.items()
    ]


def table4(results: Results) -> pd.DataFrame:
    """What others reported on their own data, the paper's proposed model, and ours.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> table4(results).by.value_counts(sort=False).to_dict()
    {'as the paper cites it': 4, 'the paper': 1, 'ours': 2}
    """
    rows = {}
    for (table, row, column), value in paper_values().items():
        if table == "4":
            rows.setdefault(row, {})[column] = value
    proposed = rows.pop("unetpp-contextual")
    frame = [
        {"model": name, "by": "as the paper cites it", **scores} for name, scores in rows.items()
    ]
    frame.append({"model": "U-Net++ contextual", "by": "the paper", **proposed})
    ours = [("U-Net++ contextual", results["unetpp-contextual-dice"])]
    best = best_on_validation([r for r in results.values() if not r.experiment.fusion])
    if best and best is not ours[0][1]:
        ours.append((f"{best.experiment.title}, our choice on validation", best))
    for title, result in ours:
        scores = {metric: result.mean(metric) for metric in ("miou", "f1")}
        frame.append({"model": title, "by": "ours", **scores})
    return pd.DataFrame(frame)


def dem_table(results: Results, study: Study) -> pd.DataFrame:
    """What the DEM is worth: models trained with it in two ways and without, and it replaced.

    `dem_zero` and `dem_others`: mIoU with the DEM replaced; NaN where that was not scored.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> study = read_study("study")
    >>> dem_table(read_results(study, "study"), study).fusion.tolist()
    ['early', 'early', 'early', 'early', 'early', 'early', 'rgb', 'bottleneck']
    """
    rows = []
    for result in results.values():
        experiment = result.experiment
        if experiment.group == "losses" or not result:
            continue
        fusion = experiment.fusion or study.base.input.fusion
        row = {"experiment": experiment.title, "fusion": fusion, "seeds": len(result.records)}
        row |= {"gap": result.gap, **_cells(result, "miou", None)}
        for name in DEM_SCORES:
            scores = [r.dem_scores[name]["miou"] for r in result.records if name in r.dem_scores]
            row[f"dem_{name}"] = float(np.mean(scores)) if scores else np.nan
        rows.append({key: row[key] for key in row if not key.endswith(("_paper", "_difference"))})
    return pd.DataFrame(rows)


def cost_table(results: Results) -> pd.DataFrame:
    """Cost of the six models beside the paper's: size, arithmetic, time an epoch and an image.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> first = read_results(read_study("study"), "study")["unet-none-bce"]
    >>> frame = cost_table({e.name: Result(e, ()) for e in SIX[1:]} | {"unet-none-bce": first})
    >>> frame[["model", "seconds_per_epoch", "ms_per_image"]].head(2)  # ResUNet: not run
               model  seconds_per_epoch  ms_per_image
    0    U-Net (BCE)                7.0           2.0
    1  ResUNet (WCE)                NaN           NaN
    """
    from landslide_tf.models.cost import forward_gmac
    from landslide_tf.training.recipe import build

    paper, rows = paper_values(), []
    for experiment in SIX:
        result = results[experiment.name]
        kind = "base" if experiment.attention == "none" else "attention"
        row = {"model": experiment.title}
        if result:
            record = result.fastest
            alike = [r for r in result.records if r.machine == record.machine]
            per_image = [r.metrics["seconds"]["per_image"] for r in alike]
            row |= {
                "parameters": record.metrics["parameters"],
                "gflop": 2 * forward_gmac(build(record.config)),
                "machine": record.machine,
                "seconds_per_epoch": record.seconds_per_epoch,
                # as with epochs, the fastest; None where one image was all that was predicted
                "ms_per_image": 1000 * min((s for s in per_image if s), default=np.nan),
            }
        rows.append(
            row
            | {
                "paper_seconds_per_epoch": paper["cost", kind, "seconds_per_epoch"],
                "paper_ms_per_image": paper["cost", kind, "ms_per_image_high"],
            }
        )
    return pd.DataFrame(rows)
