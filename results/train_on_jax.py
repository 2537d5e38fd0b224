"""Train many runs on one GPU with Keras on JAX, whole epochs on the device.

`landslide train` trains on TensorFlow, step by step. Tiles of 128 px in batches of two leave a fast
GPU idle that way: the time goes into starting each step. Here the tiles lie in GPU memory and an
epoch is one call of XLA (`jax.lax.scan` over Keras' own `train_step`). All else is the package's:
models, losses, metrics, optimizer, augmentation, order of the tiles, scores. Run folders are those
of `landslide train` (without pictures), so that `landslide study` reads them.

Two things differ. Where the number of tiles is odd, the tile that is left over in an epoch is not
trained on (each epoch leaves out another). Initial weights and dropout are drawn by JAX, so that
the same seed gives other numbers than on TensorFlow.

    KERAS_BACKEND=jax python results/train_on_jax.py JOBS.json --out RUNS --worker 0

`JOBS.json` is a list of {"name", "data", "split", "seeds", "options"}: the run's name, the pack
(`landslide data pack`), a split file or 'random' or 'group', a list of seeds and the options of
`TrainConfig`. Several workers share the work; each takes the first job that nobody has.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import functools
import json
import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this checkout

import jax
import jax.numpy as jnp
import keras
import numpy as np

from landslide_tf.config import TrainConfig
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.augment import augment, draw
from landslide_tf.data.dataset import calibration_batches, epoch_order, make_parts
from landslide_tf.data.split import PARTS, make_split, split_content
from landslide_tf.files import write_json
from landslide_tf.training import evaluation
from landslide_tf.training.batch_norm import _batch_norm_layers, _inference_but_batch_norm
from landslide_tf.training.environment import environment
from landslide_tf.training.recipe import build, compile_model, precision_policy
from landslide_tf.training.recorder import write_history
from landslide_tf.training.scores import AGAIN, report
from landslide_tf.training.tile_scores import tile_scores

SCORING_BATCH = 16
FLIPS = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


class Data:
    """The parts of one data set, as the model sees them, on the device."""

    def __init__(self, config: TrainConfig):
        tiles = load_tiles(config.data, config.input, negatives=config.negatives)
        self.tiles, self.sha256 = tiles, tiles.sha256
        self.parts = make_parts(tiles, make_split(tiles, config.split, config.seed))
        names = {name: part.names for name, part in self.parts.items()}
        self.split = split_content(names, tiles)
        self.arrays = {}
        for name, part in self.parts.items():
            chunks = [
                part.arrays(np.arange(len(part))[i : i + 64]) for i in range(0, len(part), 64)
            ]
            chunks = chunks or [tuple(a[:0] for a in self.parts["train"].arrays([0]))]
            whole = [np.concatenate(each) for each in zip(*chunks, strict=True)]
            self.arrays[name] = tuple(jax.device_put(array) for array in whole)
        self.calibration = [jnp.asarray(x) for x in calibration_batches(self.parts["train"])]


class Program:
    """A compiled training and scoring of one configuration, for any seed."""

    def __init__(self, config: TrainConfig, data: Data):
        self.config, self.data = config, data
        self.policy = precision_policy(config)
        self.model = build(config, self.policy)
        auc = compile_model(self.model, config, data.parts["train"])
        self.metric = auc.metric
        self.model.optimizer.build(self.model.trainable_variables)
        # the model's metrics exist once it has seen a batch
        example = [array[:1] for array in data.arrays["train"]]
        self.model._symbolic_build(data_batch=tuple(example))
        self.optimizer_start = [v.value.copy() for v in self.model.optimizer.variables]
        self.steps = len(data.parts["train"]) // config.batch_size
        self.scorer = build(config)  # float32
        self.calibrated = _inference_but_batch_norm(self.scorer)
        for layer in _batch_norm_layers(self.scorer):
            layer.momentum = 0.0
        self.averages = self._averages()

    def _averages(self):
        """Positions of the weights' moving averages among the optimizer's variables."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not optimizer.use_ema:
            return None
        known = {id(v): i for i, v in enumerate(self.model.optimizer.variables)}
        return [known[id(v)] for v in optimizer._model_variables_moving_average]

    def start(self, seed: int):
        """The state before the first epoch."""
        keras.utils.set_random_seed(seed)
        fresh = build(self.config, self.policy)
        return (
            [v.value.copy() for v in fresh.trainable_variables],
            [v.value.copy() for v in fresh.non_trainable_variables],
            [v.copy() for v in self.optimizer_start],
            self.zeros(),
        )

    def zeros(self):
        """The metrics' state before an epoch."""
        return [jnp.zeros(v.shape, v.dtype) for v in self.model.metrics_variables]

    @functools.cached_property
    def epoch(self):
        """(state, order, numbers) -> (logs, state): one pass over the training part."""
        x, y, w = self.data.arrays["train"]
        names = self.config.augment

        def step(state, item):
            index, numbers = item
            batch = augment(x[index], y[index], w[index], numbers, names)
            logs, state = self.model.train_step(state, batch)
            return state, logs

        def run(state, order, numbers):
            self.metric.auc_now = False
            state, logs = jax.lax.scan(step, state, (order, numbers))
            self.metric.auc_now = True
            return jax.tree.map(lambda values: values[-1], logs), state

        return jax.jit(run, donate_argnums=0)

    @functools.cached_property
    def validate(self):
        """(trainable, non-trainable) -> logs of the validation part."""
        arrays = self.data.arrays["validation"]
        size, count = self.config.batch_size, len(arrays[0])
        full = count // size * size

        def step(state, batch):
            logs, state = self.model.test_step(state, batch)
            return state, logs

        def run(trainable, rest):
            state = (trainable, rest, self.zeros())
            if full:
                batches = [a[:full].reshape(-1, size, *a.shape[1:]) for a in arrays]
                state, logs = jax.lax.scan(step, state, tuple(batches))
                logs = jax.tree.map(lambda values: values[-1], logs)
            if full < count:
                _, logs = step(state, tuple(a[full:] for a in arrays))
            return logs

        return jax.jit(run)

    @functools.cached_property
    def _logits(self):
        def run(trainable, rest, x):
            def one(_, batch):
                with jax.default_matmul_precision("float32"):  # not TF32
                    y, _ = self.scorer.stateless_call(trainable, rest, batch, training=False)
                return None, y[..., 0]

            return jax.lax.scan(one, None, x)[1]

        return jax.jit(run)

    def predict(self, weights, x) -> np.ndarray:
        """Probabilities (N, H, W) of the float32 model."""
        count = len(x)
        if not count:
            return np.zeros(x.shape[:3], "float32")
        steps = -(-count // SCORING_BATCH)
        index = np.arange(steps * SCORING_BATCH) % count
        batches = x[index].reshape(steps, SCORING_BATCH, *x.shape[1:])
        logits = np.asarray(self._logits(*weights, batches), "float64")
        logits = logits.reshape(-1, *logits.shape[2:])[:count]
        e = np.exp(-np.abs(logits))
        return (np.where(logits >= 0, 1, e) / (1 + e)).astype("float32")

    def predict_flips(self, weights, x) -> np.ndarray:
        """The mean over the eight flips and quarter turns of the tiles."""
        total = 0
        for transpose, rows, columns in FLIPS:
            turned = jnp.swapaxes(x, 1, 2) if transpose else x
            turned = turned[:, ::-1] if rows else turned
            turned = turned[:, :, ::-1] if columns else turned
            p = self.predict(weights, turned)
            p = p[:, :, ::-1] if columns else p
            p = p[:, ::-1] if rows else p
            total = total + (np.swapaxes(p, 1, 2) if transpose else p)
        return (total / len(FLIPS)).astype("float32")

    @functools.cached_property
    def _batch_statistics(self):
        def run(trainable, rest, x):
            with jax.default_matmul_precision("float32"):
                return self.calibrated.stateless_call(trainable, rest, x)[1]

        return jax.jit(run)

    def reestimate(self, weights):
        """The weights with batch-normalisation statistics of training tiles (PreciseBN)."""
        trainable, rest = weights
        batches = self.data.calibration
        share = np.array([len(x) for x in batches], "float64") / sum(len(x) for x in batches)
        own = self.calibrated.non_trainable_variables
        order = {id(v): i for i, v in enumerate(self.scorer.non_trainable_variables)}
        rest_here = [rest[order[id(v)]] for v in own]
        place = {id(v): i for i, v in enumerate(self.scorer.trainable_variables)}
        weights_here = [trainable[place[id(v)]] for v in self.calibrated.trainable_variables]
        seen = [
            [np.asarray(v, "float64") for v in self._batch_statistics(weights_here, rest_here, x)]
            for x in batches
        ]
        place = {id(v): i for i, v in enumerate(own)}
        changed = list(rest)
        for layer in _batch_norm_layers(self.scorer):
            i, k = place[id(layer.moving_mean)], place[id(layer.moving_variance)]
            means, variances = (np.stack([batch[j] for batch in seen]) for j in (i, k))
            mean = share @ means
            variance = share @ variances + share @ np.square(means - mean)
            changed[order[id(layer.moving_mean)]] = jnp.asarray(mean, "float32")
            changed[order[id(layer.moving_variance)]] = jnp.asarray(variance, "float32")
        return trainable, changed


def train(program: Program, seed: int, deadline: float):
    """(rows of the history, best epoch, its weights); None past the deadline."""
    config = program.config
    state = program.start(seed)
    rows, best, best_epoch = [], None, None
    for number in range(config.epochs):
        begin = time.perf_counter()
        logs, state = _one_epoch(program, state, number, seed)
        state = (*state[:3], program.zeros())
        trainable, rest, optimizer, _ = state
        if program.averages is not None:
            trainable = [optimizer[i] for i in program.averages]
        scores = program.validate(trainable, rest)
        logs = _flat(logs)
        scores = {f"val_{k}": v for k, v in _flat(scores).items()}
        if not np.isfinite([logs["loss"], scores["val_loss"]]).all():
            raise FloatingPointError(f"the loss is not finite in epoch {number + 1}")
        row = {
            "epoch": number + 1,
            "loss": logs.pop("loss"),
            "val_loss": scores.pop("val_loss"),
            **logs,
            **scores,
            "learning_rate": float(_rate(program, optimizer)),
            "seconds": round(time.perf_counter() - begin, 3),
        }
        rows.append(row)
        before = rows[best_epoch - 1]["val_miou"] if best_epoch else float("nan")
        if np.isnan(before) or row["val_miou"] > before:
            best_epoch = number + 1
            best = [v.copy() for v in trainable], [v.copy() for v in rest]
        if time.time() > deadline:
            return None
    return rows, best_epoch, best


def _one_epoch(program: Program, state, number: int, seed: int = 0):
    """(logs, state) after the epoch with this number; its order is that of `landslide train`."""
    part = program.data.parts["train"]
    shape = (program.steps, program.config.batch_size)
    count = shape[0] * shape[1]
    order = epoch_order(len(part), seed, number)
    drawn = draw(len(part.tiles), seed, number)[part.indices[order]]
    numbers = jnp.asarray(drawn[:count].reshape(*shape, -1))
    return program.epoch(state, jnp.asarray(order[:count].reshape(shape)), numbers)


def _flat(logs: dict) -> dict[str, float]:
    """The logs of a step as `fit` gives them to callbacks: metrics that return dicts, unpacked."""
    flat = {}
    for name, value in logs.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: float(value)}
    return flat


def _rate(program, optimizer_values):
    """The learning rate after the steps so far."""
    optimizer = program.model.optimizer
    known = [v.path for v in optimizer.variables]
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = inner._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        steps = optimizer_values[known.index(inner.iterations.path)]
        return np.asarray(rate(int(np.asarray(steps))))
    return np.asarray(optimizer_values[known.index(rate.path)])


def predictions_of(data: Data, name: str, weights, predict) -> evaluation.Predictions:
    """What the weights predict on a part, beside the truth."""
    (x, y, w), part = data.arrays[name], data.parts[name]
    mask, valid = np.asarray(y[..., 0]).astype("uint8"), np.asarray(w[..., 0]) > 0
    negative = part.tiles.negative[part.indices]
    return evaluation.Predictions(predict(weights, x), mask, valid, negative)


def score(data: Data, weights, predict) -> tuple[dict, dict]:
    """`metrics.json`'s scores of validation and test part, and their predictions."""
    found = {name: predictions_of(data, name, weights, predict) for name in PARTS[1:]}
    return report(data.parts, found), found


def finish(program: Program, config: TrainConfig, folder: Path, trained, job, commit) -> None:
    """Write a run folder; `metrics.json` last, since it makes the run complete."""
    rows, best_epoch, weights = trained
    data, seconds = program.data, sum(row["seconds"] for row in rows)
    scratch = folder.with_name(folder.name + ".partial")
    scratch.mkdir(parents=True, exist_ok=True)
    write_json(scratch / "config.json", config.to_dict())
    data.parts["train"].spec.save(scratch)
    facts = {"dtype_policy": program.policy, "data_sha256": data.sha256}
    shared = {"workers": int(os.environ.get("WORKERS", 1)), "gpu_name": _gpu_name()}
    where = environment(["KERAS_BACKEND=jax", "python", *sys.argv])
    where |= {"commit": commit or where["commit"], "script": "train_on_jax.py"}
    write_json(scratch / "environment.json", {**where, **facts, **shared})
    write_json(scratch / "split.json", data.split)
    write_history(scratch / "history.csv", rows)
    metrics, predictions = score(data, weights, program.predict)
    shown = "test" if len(data.parts["test"]) else "validation"
    for name, file in ((shown, "tile_scores.npz"), ("validation", "validation_scores.npz")):
        p = predictions[name]
        counted = tile_scores(data.parts[name].names, p.probability, p.mask, p.valid)
        counted.save(scratch / file)
    again = program.reestimate(weights)
    reestimated, _ = score(data, again, program.predict)
    before, after = (
        evaluation.score(predictions_of(data, "train", each, program.predict), 0.5)["miou"]
        for each in (weights, again)
    )
    metrics["batch_norm"] = {
        "train_miou": before,
        "train_miou_reestimated": after,
        "inference_gap": after - before,
        "reestimated": {k: reestimated[k] for k in AGAIN},
    }
    if config.augment:
        flipped, _ = score(data, weights, program.predict_flips)
        metrics["flips"] = {k: flipped[k] for k in AGAIN}
    if "alarms" in job:  # on tiles without landslide too, which the run may not have seen
        wider = Data(dataclasses.replace(config, negatives=True, split=job["alarms"]))
        p = predictions_of(wider, "test", weights, program.predict)
        cuts = metrics["thresholds"].values()
        metrics["with_negatives"] = {f"{cut:.2f}": evaluation.score(p, cut) for cut in cuts}
    metrics |= {
        "best_epoch": best_epoch,
        "epochs": len(rows),
        "tiles": {name: len(part) for name, part in data.parts.items()} | {"left_out": 0},
        "seconds": {
            "training": round(seconds, 3),
            "per_epoch": round(seconds / len(rows), 3),
            "per_image": None,
        },
        "parameters": program.model.count_params(),
        "resolution_m": None,
        "own_model": None,
    }
    if config.filters <= 16 and "strong" in folder.name:
        for variable, value in zip(program.scorer.trainable_variables, weights[0], strict=True):
            variable.assign(value)
        for variable, value in zip(program.scorer.non_trainable_variables, weights[1], strict=True):
            variable.assign(value)
        program.scorer.save_weights(scratch / "best.weights.h5")
    write_json(scratch / "metrics.json", metrics)
    scratch.rename(folder)


def measure(job: dict, args) -> None:
    """Write `OUT/NAME.json`: seconds an epoch and milliseconds an image, alone on the GPU.

    Models are compiled side by side. They are timed one after the other, when all are compiled.
    """
    jobs = [one["name"] for one in json.loads(args.jobs.read_text())]
    config = _config(job)
    data = Data(config)
    program = Program(config, data)
    state = (*_one_epoch(program, program.start(0), 0)[1][:3], program.zeros())
    images = [data.arrays["test"][0][i : i + 1] for i in range(50)]
    predictors = {}
    for name, model in ((program.policy, program.model), ("float32", program.scorer)):
        weights = list(state[0]), list(state[1])
        call = jax.jit(lambda t, n, x, m=model: m.stateless_call(t, n, x, training=False)[0])
        np.asarray(call(*weights, images[0]))
        predictors[name] = lambda x, call=call, weights=weights: np.asarray(call(*weights, x))
    (args.out / f"{job['name']}.ready").touch()
    number = jobs.index(job["name"])
    waited_for = [f"{name}.ready" for name in jobs] + [f"{n}.json" for n in jobs[:number]]
    until = time.time() + 100
    while time.time() < until and not all((args.out / name).exists() for name in waited_for):
        time.sleep(0.05)
    begin = time.perf_counter()
    milliseconds = {}
    for name, predict in predictors.items():
        spent = []
        for image in images:
            start = time.perf_counter()
            predict(image)
            spent.append(1e3 * (time.perf_counter() - start))
        milliseconds[name] = round(float(np.median(spent)), 3)
    seconds = []
    for epoch in (1, 2, 3):
        start = time.perf_counter()
        logs, state = _one_epoch(program, state, epoch)
        _flat(logs)
        seconds.append(round(time.perf_counter() - start, 3))
    result = {
        "options": job["options"],
        "train_tiles": len(data.parts["train"]),
        "steps": program.steps,
        "epoch_seconds": seconds,
        "ms_per_image_batch_1": milliseconds,
        "gpu": _gpu_name(),
        "dtype_policy": program.policy,
        "alone": all((args.out / name).exists() for name in waited_for),
        "took": round(time.perf_counter() - begin, 1),
    }
    write_json(args.out / f"{job['name']}.json", result)
    print(json.dumps({"name": job["name"], **result}), flush=True)


def _gpu_name() -> str:
    return ", ".join(device.device_kind for device in jax.devices())


def main() -> None:
    """Take jobs until none is left or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--deadline", type=float, default=float("inf"), help="seconds since 1970")
    parser.add_argument("--commit", help="of the code, where it is no checkout")
    parser.add_argument("--timing", action="store_true", help="time the job number --worker alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.timing:
        measure(json.loads(args.jobs.read_text())[args.worker], args)
        return
    for job in json.loads(args.jobs.read_text()):
        todo = [s for s in job["seeds"] if not (args.out / f"{job['name']}-seed{s}").exists()]
        lock = open(args.out / f".{job['name']}.lock", "w")  # noqa: SIM115 (held while it runs)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        if not todo or time.time() > args.deadline:
            continue
        try:
            _run(job, todo, args)
        except Exception:  # the other jobs go on
            print(f"worker {args.worker}: {job['name']} failed", flush=True)
            traceback.print_exc(limit=-6)
        jax.clear_caches()


def _config(job: dict) -> TrainConfig:
    options = {**job["options"], "data": job["data"], "split": job["split"]}
    return TrainConfig().with_options(**options)


def _run(job: dict, seeds: list[int], args) -> None:
    base = _config(job)
    data = program = None
    took = 0.0
    for seed in seeds:
        if time.time() + took > args.deadline:
            return
        config = dataclasses.replace(base, seed=seed)
        begin = time.time()
        if data is None:
            data = Data(config)
            program = Program(config, data)
        trained = train(program, seed, args.deadline)
        if trained is None:
            return
        seconds = sum(row["seconds"] for row in trained[0])
        finish(program, config, args.out / f"{job['name']}-seed{seed}", trained, job, args.commit)
        took = seconds + 3
        print(
            f"worker {args.worker}: {job['name']} seed {seed}: {time.time() - begin:.1f} s in all, "
            f"{seconds:.1f} s of training, first epoch {trained[0][0]['seconds']:.1f}, "
            f"last {trained[0][-1]['seconds']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
