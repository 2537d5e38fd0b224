"""Time models alone on one GPU with Keras on JAX: seconds an epoch, milliseconds an image.

    KERAS_BACKEND=jax python results/time_on_jax.py JOBS.json --out TIMES --worker 0

`JOBS.json` is that of `train_on_jax.py`. Worker N times the job number N and writes
`TIMES/NAME.json`. Start one worker a job: models are compiled side by side, and timed one after the
other when all are compiled.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from train_on_jax import Program, config_of, gpu_name, load

IMAGES, EPOCHS = 50, 3
WAIT_S = 100  # for the other workers


def measure(jobs: list[dict], number: int, out: Path) -> dict:
    """The times of one of the jobs, once its turn has come."""
    job, names = jobs[number], [job["name"] for job in jobs]
    config = config_of(job)
    _, parts = load(config)
    program = Program(config, parts)
    _, state = program.epoch(program.start(0), 0)
    indices = np.arange(IMAGES) % len(parts["test"])
    images = [jax.device_put(parts["test"].arrays([i])[0]) for i in indices]
    predictors = {}
    for name, model in ((program.policy, program.model), ("float32", program.scorer)):
        weights = list(state[0]), list(state[1])
        call = jax.jit(lambda t, n, x, m=model: m.stateless_call(t, n, x, training=False)[0])
        predictors[name] = lambda x, call=call, weights=weights: np.asarray(call(*weights, x))
        predictors[name](images[0])
    (out / f"{job['name']}.ready").touch()
    waited_for = [f"{name}.ready" for name in names] + [f"{n}.json" for n in names[:number]]
    until = time.time() + WAIT_S
    while time.time() < until and not all((out / name).exists() for name in waited_for):
        time.sleep(0.05)
    begin = time.perf_counter()
    milliseconds = {
        name: round(1e3 * float(np.median([_seconds(predict, x) for x in images])), 3)
        for name, predict in predictors.items()
    }
    seconds = []
    for epoch in range(1, EPOCHS + 1):
        start = time.perf_counter()
        _, state = program.epoch(state, epoch)
        seconds.append(round(time.perf_counter() - start, 3))
    return {
        "options": job["options"],
        "train_tiles": len(parts["train"]),
        "steps": program.steps,
        "epoch_seconds": seconds,
        "ms_per_image_batch_1": milliseconds,
        "gpu": gpu_name(),
        "dtype_policy": program.policy,
        "alone": all((out / name).exists() for name in waited_for),
        "took": round(time.perf_counter() - begin, 1),
    }


def _seconds(predict, x) -> float:
    start = time.perf_counter()
    predict(x)
    return time.perf_counter() - start


def main() -> None:
    """Time one job and write its file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worker", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    jobs = json.loads(args.jobs.read_text())
    result = measure(jobs, args.worker, args.out)
    name = jobs[args.worker]["name"]
    (args.out / f"{name}.json").write_text(json.dumps(result, indent=1))
    print(json.dumps({"name": name, **result}), flush=True)


if __name__ == "__main__":
    main()
