"""The paper's tables with our scores beside them, as data frames made from run folders alone."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np
import pandas as pd

from landslide_tf.models.cost import forward_gmac
from landslide_tf.study.bootstrap import interval
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import (
    ATTENTION_TITLES,
    LOSS_TITLES,
    LOSSES,
    MODEL_TITLES,
    MODELS,
    SIX,
)
from landslide_tf.study.records import DEM_SCORES, Result, Results, all_records, on_common_seeds
from landslide_tf.study.verdicts import LEAST_SEEDS
from landslide_tf.training.recipe import build

METRICS = {"miou": "mIoU", "auc": "AUC", "precision": "precision", "recall": "recall",
           "f1": "F1", "accuracy": "accuracy"}  # fmt: skip


def paper_values() -> dict[tuple[str, str, str], float]:
    """The paper's numbers by (table, row, column). Table 2 is left out, because Table 3 repeats it.

    >>> paper_values()["3", "unetpp-contextual", "miou"]
    0.76
    """
    text = resources.files("landslide_tf.study").joinpath("paper.csv").read_text()
    return {
        (row["table"], row["row"], row["column"]): float(row["value"])
        for row in csv.DictReader(text.splitlines())
    }


def best_on_validation(results: list[Result]) -> Result | None:
    """The result with the highest mean validation mIoU over the seeds that all results have.

    Experiments that were not run are left out. None if fewer than two were run, or if they have no
    seed in common.
    """
    made = [result for result in results if result]
    alike = on_common_seeds(made)
    if len(made) < 2 or not all(alike):
        return None
    return made[np.argmax([result.mean("miou", "validation") for result in alike])]


def loss_results(results: Results, model: str) -> list[Result]:
    """The base model's results under the four losses, in their order."""
    return [results[f"{model}-none-{loss}"] for loss in LOSSES]


def our_choices(results: Results) -> list[Result]:
    """Per base model, the loss that is best on validation, where it is not the paper's."""
    chosen = [best_on_validation(loss_results(results, model)) for model in MODELS]
    return [choice for choice in chosen if choice and choice.experiment not in SIX]


def spread_cells(result: Result, metric: str, part: str = "test", name: str = "") -> dict:
    """The mean of a score over seeds, and its spread.

    The keys are `name` (default: the metric) for the mean, and, with an ending, `_sd` for the
    standard deviation (NaN for fewer than three seeds), `_min` and `_max`.
    """
    name, values = name or metric, result.values(metric, part)
    return {
        name: result.mean(metric, part),
        f"{name}_sd": values.std(ddof=1) if len(values) >= LEAST_SEEDS else np.nan,
        f"{name}_min": values.min() if len(values) else np.nan,
        f"{name}_max": values.max() if len(values) else np.nan,
    }


def score_cells(result: Result, metric: str) -> dict:
    """`spread_cells` of the test part, and the 95 % interval over its tiles: `_low`, `_high`."""
    low, high = interval(result, metric)
    return spread_cells(result, metric) | {f"{metric}_low": low, f"{metric}_high": high}


def _beside_paper(result: Result, metric: str, paper: float) -> dict:
    cells = score_cells(result, metric)
    difference = cells[metric] - paper
    return cells | {f"{metric}_paper": paper, f"{metric}_difference": difference}


def table1(results: Results) -> pd.DataFrame:
    """mIoU of the base models under each loss: test, validation, the paper's."""
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
                    **_beside_paper(result, "miou", paper["1", model, loss]),
                    # of the seeds that the choice is made on
                    "validation": alike.get(result.experiment, result).mean("miou", "validation"),
                    **spread_cells(result, "miou", "test_chosen", "miou_chosen"),
                    "gap": result.gap,
                    "our_choice": bool(result and result is best),
                    "seeds": len(result.records),
                }
            )
    return pd.DataFrame(rows)


def table3(results: Results) -> pd.DataFrame:
    """The six models, our own choices of loss, and the baselines that any model should beat."""
    shown = [results[e.name] for e in SIX] + our_choices(results)
    return pd.DataFrame([*_score_rows(shown), *_baselines(results)])


def _score_rows(shown: list[Result]) -> list[dict]:
    paper, rows = paper_values(), []
    for result in shown:
        one, scores = result.experiment, {}
        for metric in METRICS:
            row = ("3", f"{one.model}-{one.attention}", metric)
            scores |= _beside_paper(result, metric, paper[row] if one in SIX else np.nan)
        plain = ("1", one.model, one.loss) if one.attention == "none" else None
        rows.append(
            {
                "model": MODEL_TITLES[one.model] + ATTENTION_TITLES[one.attention],
                "loss": LOSS_TITLES[one.loss],
                "kind": "paper" if one in SIX else "our choice on validation",
                "seeds": len(result.records),
                **scores,
                "miou_table1": paper.get(plain, np.nan),
                "miou_validation": result.mean("miou", "validation"),
                **spread_cells(result, "miou", "test_chosen", "miou_chosen"),
                "gap": result.gap,
            }
        )
    return rows


def _baselines(results: Results) -> list[dict]:
    baselines = next((r.metrics["baseline"] for r in all_records(results)), None) or {}
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
    """What others reported on their own data, the paper's proposed model, and ours."""
    proposed, rows = "unetpp-contextual", {}
    for (table, row, column), value in paper_values().items():
        if table == "4":
            by = "the paper" if row == proposed else "as the paper cites it"
            title = "U-Net++ contextual" if row == proposed else row
            rows.setdefault(row, {"model": title, "by": by})[column] = value
    rows[proposed] = rows.pop(proposed)  # after the others
    ours = {"U-Net++ contextual": results["unetpp-contextual-dice"]}
    best = best_on_validation([r for r in results.values() if r.experiment.group != "ablation"])
    if best and best not in ours.values():
        ours[f"{best.experiment.title}, our choice on validation"] = best
    for title, result in ours.items():
        scores = {metric: result.mean(metric) for metric in ("miou", "f1")}
        rows[title] = {"model": title, "by": "ours", **scores}
    return pd.DataFrame(rows.values())


def dem_table(results: Results, study: Study) -> pd.DataFrame:
    """What the DEM is worth: scores of models trained with it, in two ways, and without it.

    `dem_zero` and `dem_others`: mIoU with the DEM replaced; NaN where that was not scored.
    """
    rows = []
    for result in results.values():
        one = result.experiment
        if one.group == "losses" or not result:
            continue
        fusion = one.options.get("fusion", study.base.input.fusion)
        row = {"experiment": one.title, "fusion": fusion, "seeds": len(result.records)}
        row |= {"gap": result.gap, **score_cells(result, "miou")}
        for name in DEM_SCORES:
            scores = [r.dem_scores[name]["miou"] for r in result.records if name in r.dem_scores]
            row[f"dem_{name}"] = np.mean(scores) if scores else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def times(results: Results) -> pd.DataFrame:
    """`seconds_per_epoch` and `ms_per_image` of each experiment (by name) on each machine.

    They are of the fastest epoch and the fastest run: other work on the machine only ever adds.
    """
    rows = [
        {
            "experiment": name,
            "machine": record.machine,
            "seconds_per_epoch": min(row["seconds"] for row in record.history),
            "ms_per_image": 1000 * record.score("per_image", "seconds"),
        }
        for name, result in results.items()
        for record in result.records
    ]
    columns = ["experiment", "machine", "seconds_per_epoch", "ms_per_image"]
    return pd.DataFrame(rows, columns=columns).groupby(columns[:2]).min()


def cost_table(results: Results) -> pd.DataFrame:
    """Cost of the six models beside the paper's: size, arithmetic, time an epoch and an image.

    Times are those of the machine with the shortest epoch.
    """
    paper, spent, rows = paper_values(), times(results), []
    for experiment in SIX:
        result = results[experiment.name]
        kind = "base" if experiment.attention == "none" else "attention"
        row = {"model": experiment.title}
        if result:
            record, here = result.records[0], spent.loc[experiment.name]
            row |= {
                "parameters": record.metrics["parameters"],
                "gflop": 2 * forward_gmac(build(record.config)),
                "machine": here.seconds_per_epoch.idxmin(),
                **here.loc[here.seconds_per_epoch.idxmin()],
            }
        rows.append(
            row
            | {
                "paper_seconds_per_epoch": paper["cost", kind, "seconds_per_epoch"],
                "paper_ms_per_image": paper["cost", kind, "ms_per_image_high"],
            }
        )
    return pd.DataFrame(rows)
