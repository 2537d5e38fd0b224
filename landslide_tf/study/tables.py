"""The paper's tables with our scores beside them, as data frames made from run folders alone."""

from __future__ import annotations

import csv
import itertools
from importlib import resources

import numpy as np
import pandas as pd

from landslide_tf.config import LOSSES, MODELS
from landslide_tf.study.audit import audit_row
from landslide_tf.study.bootstrap import difference, interval
from landslide_tf.study.experiments import ATTENTION_TITLES, LOSS_TITLES, MODEL_TITLES, SIX, Study
from landslide_tf.study.records import DEM_SCORES, Result, on_common_seeds

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
        best = best_on_validation(loss_results(results, model))
        for result in loss_results(results, model):
            loss = result.experiment.loss
            rows.append(
                {
                    "model": MODEL_TITLES[model],
                    "loss": LOSS_TITLES[loss],
                    **_cells(result, "miou", paper["1", model, loss]),
                    "validation": result.mean("miou", "validation"),
                    "test_chosen": result.mean("miou", "test_chosen"),
                    "our_choice": bool(result and result is best),
                    "seeds": len(result.records),
                }
            )
    return pd.DataFrame(rows)


def _cells(result: Result, metric: str, paper: float | None) -> dict:
    between = interval(result, metric)
    ours, paper = result.mean(metric), np.nan if paper is None else paper
    return {
        metric: ours,
        f"{metric}_sd": result.deviation(metric),
        f"{metric}_low": between.low if between else np.nan,
        f"{metric}_high": between.high if between else np.nan,
        f"{metric}_paper": paper,
        f"{metric}_difference": ours - paper,
    }


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
    ['miou', 'miou_sd', 'miou_low', 'miou_high']
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
                "miou_chosen": result.mean("miou", "test_chosen"),
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
        row = {"experiment": experiment.title, "fusion": fusion, **_cells(result, "miou", None)}
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
    from landslide_tf.training.fit import build

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


def audit_table(results: Results) -> pd.DataFrame:
    """Each row of the paper's Table 3, then ours to two digits, recomputed from its own numbers.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> frame = audit_table(results)
    >>> frame[["whose", "precision", "recall", "f1", "f1_recomputed", "fits"]].head(2)
       whose  precision  recall    f1  f1_recomputed  fits
    0  paper       0.94    0.12  0.21       0.212830  True
    1  paper       0.85    0.53  0.65       0.652899  True
    """
    paper, rows = paper_values(), []
    for whose in ("paper", "ours"):
        for experiment in SIX:
            result, row = results[experiment.name], f"{experiment.model}-{experiment.attention}"
            if whose == "paper":
                printed = {metric: paper["3", row, metric] for metric in METRICS}
            elif result:  # one seed: means of ratios need not fit together
                printed = {m: round(float(result.values(m)[0]), 2) for m in METRICS}
            else:
                continue
            if not all(0 < printed[m] < 1 for m in METRICS):
                continue  # a model that predicts nothing has no precision
            audit = audit_row(printed)
            rows.append(
                {
                    "whose": whose,
                    "model": experiment.title,
                    **{metric: printed[metric] for metric in METRICS if metric != "auc"},
                    "f1_recomputed": audit.f1,
                    "miou_recomputed": audit.miou,
                    "positive_share": audit.positive_share,
                    "fits": audit.fits,
                    "excess": audit.excess,
                }
            )
    return pd.DataFrame(rows)


def comparisons(results: Results) -> pd.DataFrame:
    """Paired differences in test mIoU: all pairs of the six models, and with and without the DEM.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> frame = comparisons(results)
    >>> len(frame)  # six models: 6 x 5 / 2 pairs; three ways to use the DEM: 3 pairs
    18
    >>> frame[["a", "b", "a_is"]].head(2)
                 a               b   a_is
    0  U-Net (BCE)   ResUNet (WCE)  worse
    1  U-Net (BCE)  U-Net++ (Dice)  worse
    """
    six = [results[e.name] for e in SIX]
    dem = [r for r in results.values() if r.experiment.group == "ablation"]
    rows = []
    for group in (six, [results["unetpp-contextual-dice"], *dem]):
        for first, second in itertools.combinations(group, 2):
            found = difference(first, second)
            if found is None:
                continue
            rows.append(
                {
                    "a": first.experiment.title,
                    "b": second.experiment.title,
                    "difference": found.value,
                    "low": found.interval.low,
                    "high": found.interval.high,
                    "a_is": found.verdict,
                }
            )
    # named also where nothing was compared: an empty table has its header
    return pd.DataFrame(rows, columns=["a", "b", "difference", "low", "high", "a_is"])
