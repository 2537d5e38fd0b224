"""Made-up complete runs: scored by the package's own functions, without training."""

import numpy as np

from landslide_tf.config import TrainConfig
from landslide_tf.files import write_json
from landslide_tf.study.experiments import Study, plan
from landslide_tf.study.records import read_results
from landslide_tf.training import evaluation
from landslide_tf.training.evaluation import Predictions
from landslide_tf.training.recorder import write_history
from landslide_tf.training.tile_scores import tile_scores

TILES, PX = 12, 8
BASE = TrainConfig(data="tiles", filters=4, epochs=3)


def truth():
    """Masks (N, H, W): tile i has a block of i + 1 columns, the last tile none."""
    mask = np.zeros((TILES, PX, PX), "uint8")
    for i in range(TILES - 1):
        mask[i, :, : 1 + i % 6] = 1
    return mask


def write_run(folder, config, quality, *, counts=True, split="abc", data="d" * 64, gap=None):
    """A complete run whose probabilities are right for about `quality` of the pixels."""
    mask = truth()
    rng = np.random.default_rng(config.seed)
    right = rng.random(mask.shape) < quality
    probability = np.where(right == (mask > 0), 0.9, 0.1).astype("float32")
    p = Predictions(probability, mask, np.ones(mask.shape, bool), np.zeros(TILES, bool))
    folder.mkdir(parents=True)
    names = [f"{split}{i:02d}" for i in range(TILES)]
    scores = {f"{part}": evaluation.score(p, 0.5) for part in ("validation", "test")}
    write_json(folder / "config.json", config.to_dict())
    config.input.save(folder)
    write_json(folder / "split.json", {"train": ["x"], "validation": ["y"], "test": names})
    write_json(
        folder / "environment.json",
        {"data_sha256": data, "processor": "P", "cores": 2, "gpu": False,
         "backend": "tensorflow", "dtype_policy": "float32"},
    )  # fmt: skip
    row = {"loss": 0.5, "val_loss": 0.6, "miou": 0.4, "val_miou": 0.5}
    write_history(
        folder / "history.csv",
        [{"epoch": e, **row, "seconds": 10.0 - e} for e in range(1, config.epochs + 1)],
    )
    if counts:
        tile_scores(names, probability, mask, p.valid).save(folder / "tile_scores.npz")
    metrics = {
        **scores,
        "test_chosen": scores["test"],
        "baseline": {
            "background": evaluation.background_baseline(p),
            "threshold": {**evaluation.background_baseline(p), "rule": "red >= 0.5"},
        },
        "thresholds": {"default": 0.5, "chosen": 0.5},
        "best_epoch": 2,
        "epochs": config.epochs,
        "tiles": {"train": 1, "validation": 1, "test": TILES, "left_out": 0},
        "seconds": {"training": 24.0, "per_epoch": 8.0, "per_image": 0.002},
        "parameters": 1000,
    }
    if gap is not None:  # the re-estimated model is all right
        perfect = Predictions(0.9 * mask.astype("float32"), mask, p.valid, p.negative)
        best = {name: evaluation.score(perfect, 0.5) for name in ("test", "test_chosen")}
        metrics["batch_norm"] = {
            "train_miou": 0.5,
            "train_miou_reestimated": 0.5 + gap,
            "inference_gap": gap,
            "reestimated": best,
        }
    write_json(folder / "metrics.json", metrics)
    return folder


def results_of(folder, qualities, seeds=1, matrix="paper", **options):
    """Results of a study in `folder` whose runs, by experiment, have these qualities."""
    study = Study(BASE, seeds, matrix=matrix)
    for run in plan(study, folder):
        if run.experiment.name in qualities:
            write_run(run.folder, run.config, qualities[run.experiment.name], **options)
    return read_results(study, folder)
