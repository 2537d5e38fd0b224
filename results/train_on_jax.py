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
`TrainConfig`. With "alarms", a split file of tiles with and without landslide, the test part of
that is scored too. Several workers share the work; each takes the first job that nobody has. Runs
of up to 16 filters with 'strong' in their name keep their weights (`best.weights.h5`).
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
from landslide_tf.data.arrays import Tiles, load_tiles
from landslide_tf.data.augment import augment, draw
from landslide_tf.data.dataset import Part, epoch_order, make_parts
from landslide_tf.data.split import make_split, split_content
from landslide_tf.files import write_json
from landslide_tf.models.probability import Predictor
from landslide_tf.training import evaluation
from landslide_tf.training.environment import environment
from landslide_tf.training.recipe import build, compile_model, precision_policy
from landslide_tf.training.recorder import best_epoch, write_history
from landslide_tf.training.scores import save_counts, score_model

CHUNK = 64  # tiles that are prepared at one time


def load(config: TrainConfig) -> tuple[Tiles, dict[str, Part]]:
    """The tiles of a config's data, and its training, validation and test part."""
    tiles = load_tiles(config.data, config.input, negatives=config.negatives)
    return tiles, make_parts(tiles, make_split(tiles, config.split, config.seed))


def on_device(part: Part) -> tuple:
    """Inputs, masks and weights of all tiles of a part, in the memory of the device."""
    chunks = [part.arrays(np.arange(len(part))[i : i + CHUNK]) for i in range(0, len(part), CHUNK)]
    return tuple(jax.device_put(np.concatenate(each)) for each in zip(*chunks, strict=True))


class Program:
    """A compiled training of one configuration, for any seed."""

    def __init__(self, config: TrainConfig, parts: dict[str, Part]):
        self.config, self.parts = config, parts
        self.arrays = {name: on_device(parts[name]) for name in ("train", "validation")}
        self.policy = precision_policy(config)
        self.model = build(config, self.policy)
        self.metric = compile_model(self.model, config, parts["train"]).metric
        self.model.optimizer.build(self.model.trainable_variables)
        # the model's metrics exist once it has seen a batch
        example = [array[:1] for array in self.arrays["train"]]
        self.model._symbolic_build(data_batch=tuple(example))
        self.optimizer_start = [v.value.copy() for v in self.model.optimizer.variables]
        self.steps = len(parts["train"]) // config.batch_size
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

    def epoch(self, state, number: int, seed: int = 0):
        """(logs, state) after the epoch of this number; the order is that of `landslide train`."""
        part, shape = self.parts["train"], (self.steps, self.config.batch_size)
        count = shape[0] * shape[1]
        order = epoch_order(len(part), seed, number)
        drawn = draw(len(part.tiles), seed, number)[part.indices[order]]
        numbers = jnp.asarray(drawn[:count].reshape(*shape, -1))
        logs, state = self._epoch(state, jnp.asarray(order[:count].reshape(shape)), numbers)
        return _flat(logs), (*state[:3], self.zeros())

    @functools.cached_property
    def _epoch(self):
        """(state, order, numbers) -> (logs, state): one pass over the training part."""
        x, y, w = self.arrays["train"]
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
        arrays = self.arrays["validation"]
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

    def learning_rate(self, optimizer_values) -> float:
        """The learning rate after the steps so far."""
        optimizer = self.model.optimizer
        known = [v.path for v in optimizer.variables]
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        rate = inner._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            steps = optimizer_values[known.index(inner.iterations.path)]
            return float(rate(int(steps)))
        return float(optimizer_values[known.index(rate.path)])

    @functools.cached_property
    def scorer(self) -> keras.Model:
        """A float32 model of the configuration, to give weights to."""
        return build(self.config)


def _flat(logs: dict) -> dict[str, float]:
    """The logs of a step as `fit` gives them to callbacks: metrics that return dicts, unpacked."""
    flat = {}
    for name, value in logs.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: float(value)}
    return flat


def train(program: Program, seed: int, deadline: float):
    """(rows of the history, weights of the best epoch); None past the deadline."""
    state, rows, best = program.start(seed), [], None
    for number in range(program.config.epochs):
        begin = time.perf_counter()
        logs, state = program.epoch(state, number, seed)
        trainable, rest, optimizer, _ = state
        if program.averages is not None:
            trainable = [optimizer[i] for i in program.averages]
        scores = {f"val_{k}": v for k, v in _flat(program.validate(trainable, rest)).items()}
        if not np.isfinite([logs["loss"], scores["val_loss"]]).all():
            raise FloatingPointError(f"the loss is not finite in epoch {number + 1}")
        rows.append(
            {
                "epoch": number + 1,
                "loss": logs.pop("loss"),
                "val_loss": scores.pop("val_loss"),
                **logs,
                **scores,
                "learning_rate": program.learning_rate(optimizer),
                "seconds": round(time.perf_counter() - begin, 3),
            }
        )
        if best_epoch(rows) == number + 1:
            best = [v.copy() for v in trainable], [v.copy() for v in rest]
        if time.time() > deadline:
            return None
    return rows, best


def finish(program: Program, config: TrainConfig, tiles: Tiles, trained, job: dict, args) -> None:
    """Write a run folder; `metrics.json` last, since it makes the run complete."""
    rows, weights = trained
    parts, model = program.parts, program.scorer
    for variables, values in zip(
        (model.trainable_variables, model.non_trainable_variables), weights, strict=True
    ):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    folder = args.out / f"{job['name']}-seed{config.seed}"
    scratch = folder.with_name(folder.name + ".partial")
    scratch.mkdir(parents=True, exist_ok=True)
    write_json(scratch / "config.json", config.to_dict())
    parts["train"].spec.save(scratch)
    where = environment(["KERAS_BACKEND=jax", "python", *sys.argv])
    facts = {
        "commit": args.commit or where["commit"],
        "script": "train_on_jax.py",
        "dtype_policy": program.policy,
        "data_sha256": tiles.sha256,
        "workers": int(os.environ.get("WORKERS", 1)),
        "gpu_name": gpu_name(),
    }
    write_json(scratch / "environment.json", {**where, **facts})
    split = split_content({name: part.names for name, part in parts.items()}, tiles)
    write_json(scratch / "split.json", split)
    write_history(scratch / "history.csv", rows)
    with jax.default_matmul_precision("float32"):  # not TF32
        metrics, predictions = score_model(model, parts, config)
        save_counts(scratch, parts, predictions)
        if "alarms" in job:  # on tiles without landslide too, which the run may not have seen
            _, wider = load(dataclasses.replace(config, negatives=True, split=job["alarms"]))
            p = evaluation.predict_part(Predictor(model), wider["test"])
            cuts = metrics["thresholds"].values()
            metrics["with_negatives"] = {f"{cut:.2f}": evaluation.score(p, cut) for cut in cuts}
    seconds = sum(row["seconds"] for row in rows)
    metrics |= {
        "best_epoch": best_epoch(rows),
        "epochs": len(rows),
        "tiles": {name: len(part) for name, part in parts.items()} | {"left_out": 0},
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
        model.save_weights(scratch / "best.weights.h5")
    write_json(scratch / "metrics.json", metrics)
    scratch.rename(folder)


def gpu_name() -> str:
    """The devices that JAX computes on."""
    return ", ".join(device.device_kind for device in jax.devices())


def config_of(job: dict) -> TrainConfig:
    """The options of a job."""
    options = {**job["options"], "data": job["data"], "split": job["split"]}
    config = TrainConfig().with_options(**{"reestimate_batch_norm": False, **options})
    if config.reestimate_batch_norm:
        raise SystemExit(f"{job['name']}: statistics are not estimated anew here before validation")
    return config


def main() -> None:
    """Take jobs until none is left or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--deadline", type=float, default=float("inf"), help="seconds since 1970")
    parser.add_argument("--commit", help="of the code, where it is no checkout")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
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


def _run(job: dict, seeds: list[int], args) -> None:
    program, took = None, 0.0
    for seed in seeds:
        begin = time.time()
        if begin + took > args.deadline:
            return
        config = dataclasses.replace(config_of(job), seed=seed)
        if program is None:
            tiles, parts = load(config)
            program = Program(config, parts)
        trained = train(program, seed, args.deadline)
        if trained is None:
            return
        finish(program, config, tiles, trained, job, args)
        rows = trained[0]
        seconds = sum(row["seconds"] for row in rows)
        took = time.time() - begin
        print(
            f"worker {args.worker}: {job['name']} seed {seed}: {took:.1f} s in all, "
            f"{seconds:.1f} s of training, first epoch {rows[0]['seconds']:.1f}, "
            f"last {rows[-1]['seconds']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
