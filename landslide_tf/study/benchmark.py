"""How fast this machine trains and predicts, as medians over repeated measurements.

The runtimes of inference are measured in turn (A B C A B C …), so that other work on the machine
slows all of them alike.
"""

from __future__ import annotations

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from landslide_tf.config import TrainConfig
from landslide_tf.data.dataset import Part, training_batches
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.index import find_samples
from landslide_tf.data.tile import read_tile
from landslide_tf.export import formats
from landslide_tf.files import write_json
from landslide_tf.inputs import InputSpec
from landslide_tf.models.cost import forward_gmac
from landslide_tf.models.probability import OnnxPredictor, Predictor
from landslide_tf.models.registry import inference_model
from landslide_tf.training.environment import environment, peak_memory_mib
from landslide_tf.training.fit import load_own_tiles
from landslide_tf.training.recipe import build, compile_model, precision_policy

WARM_UP = 3
BATCH = 16  # of the throughput
MATRIX = 1536  # side of the matrices whose product is the machine's measured rate
DECODED_TILES = 64
PIPELINE_BATCHES = 8  # timed for each repeat
ENDLESS = 10**6  # epochs


def benchmark(config: TrainConfig, repeats: int = 20, out=None) -> dict:
    """Measure training, inference and input of one configuration; print and return the result.

    Args:
        config: model, filters, batch size, tile size, precision; `data` or the demo terrain.
        repeats: timed runs of each thing.
        out: JSON file to write.

    Returns:
        `machine`, `config`, `matrix_gflops` (measured), `training`, `inference` by runtime (None
        where it is not installed), `input`, `peak_mb` (in MiB); times are in seconds unless named
        otherwise.

    Raises:
        InputError: `config.data` cannot be used.
    """
    policy = precision_policy(config)
    tiles = load_own_tiles(config)
    part = Part(tiles, np.arange(len(tiles)), tiles.spec)
    rate = matrix_rate()
    keras.utils.set_random_seed(config.seed)
    training = measure_training(build(config, policy), config, part, repeats, rate)
    model = inference_model(build(config))
    result = {
        "machine": environment(),
        "config": config.to_dict(),
        "dtype_policy": policy,
        "repeats": repeats,
        "matrix_gflops": rate,
        "training": training,
        "inference": measure_inference(model, part, repeats),
        "input": measure_input(config, part, repeats),
        "peak_mb": peak_memory_mib(),
    }
    print(format_result(result))
    if out is not None:
        write_json(out, result)
    return result


def matrix_rate() -> float:
    """GFLOP/s of a float32 matrix product: the rate that the arithmetic of a step is held to."""
    a = keras.ops.convert_to_tensor(np.random.default_rng(0).random((MATRIX, MATRIX), "float32"))
    seconds = [timed(lambda: np.asarray(keras.ops.matmul(a, a))) for _ in range(WARM_UP + 7)]
    return 2 * MATRIX**3 / float(np.median(seconds[WARM_UP:])) / 1e9


def timed(function) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def measure_training(model, config: TrainConfig, part: Part, repeats: int, rate: float) -> dict:
    """Time of a training step with the input pipeline, share of waiting for data, and GFLOP.

    A step counts as three forward passes: one forward, and a backward pass with twice the products
    (gradients of the inputs and of the weights). `rate` is the result of `matrix_rate`, GFLOP/s.
    """
    compile_model(model, config, part)
    batches = iter(
        training_batches(part, batch_size=config.batch_size, epochs=ENDLESS, augment=config.augment)
    )
    waits, steps = [], []
    for _ in range(WARM_UP + repeats):
        begin = time.perf_counter()
        x, y, w = next(batches)
        ready = time.perf_counter()
        model.train_on_batch(x, y, sample_weight=w)  # returns the loss: the step is over
        waits.append(ready - begin)
        steps.append(time.perf_counter() - ready)
    wait, step = np.array(waits[WARM_UP:]), np.array(steps[WARM_UP:])
    whole = float(np.median(wait + step))
    gflop = 3 * 2 * forward_gmac(model) * config.batch_size
    return {
        "step_s": whole,
        "images_per_s": config.batch_size / whole,
        "waiting_share": float(wait.sum() / (wait + step).sum()),
        "gflop_per_step": gflop,
        "share_of_matrix_rate": gflop / whole / rate,
        "parameters": model.count_params(),
    }


def measure_inference(model, part: Part, repeats: int) -> dict:
    """Latency (batch 1) and throughput (batch 16) of each runtime that is installed, in turn."""
    x = part.arrays(np.arange(BATCH) % len(part))[0]
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(model, part.spec, Path(folder))
        latency = {name: [] for name in ways}
        batch = {name: [] for name in ways}
        for repeat in range(WARM_UP + repeats):
            for name, run in ways.items():
                one, many = timed(lambda run=run: run(x[:1])), timed(lambda run=run: run(x))
                if repeat >= WARM_UP:
                    latency[name].append(one)
                    batch[name].append(many)
    result = dict.fromkeys(("predict", "compiled", "savedmodel", "onnx", "litert"))
    for name in ways:
        result[name] = {
            "median_ms": 1000 * float(np.median(latency[name])),
            "p95_ms": 1000 * float(np.percentile(latency[name], 95)),
            "images_per_s": BATCH / float(np.median(batch[name])),
        }
    return result


def _ways(model, spec: InputSpec, folder: Path) -> dict:
    """Functions from input to probability, by runtime."""
    ways = {
        "predict": lambda x: model.predict(x, verbose=0),
        "compiled": Predictor(model),
    }
    if keras.backend.backend() != "tensorflow":
        return ways
    import tensorflow as tf

    formats.write_savedmodel(model, spec, folder / "saved")
    loaded = tf.saved_model.load(str(folder / "saved"))
    ways["savedmodel"] = lambda x: loaded.signatures["serve"](inputs=tf.constant(x))[
        "probability"
    ].numpy()
    if all(map(find_spec, formats.NEEDS["onnx"])):
        formats.write_onnx(model, folder / "model.onnx")
        ways["onnx"] = OnnxPredictor(folder / "model.onnx")
    if all(map(find_spec, formats.NEEDS["litert"])):
        formats.write_litert(model, folder / "model.tflite")
        interpreter = formats.litert_interpreter(folder / "model.tflite")
        ways["litert"] = lambda x: formats.invoke_litert(interpreter, x)
    return ways


def measure_input(config: TrainConfig, part: Part, repeats: int) -> dict:
    """Tiles a second: decoded from files, and out of the training pipeline, plain and augmented as
    the preset `strong` does it."""
    result = {"decode_tiles_per_s": None}
    folder = Path(config.data or demo_folder())
    if folder.is_dir():
        samples = find_samples(folder).samples[:DECODED_TILES]
        seconds = [timed(lambda: [read_tile(s, part.spec) for s in samples]) for _ in range(3)]
        result["decode_tiles_per_s"] = len(samples) / float(np.median(seconds))
    strong = TrainConfig.from_preset("strong").augment
    for name, changes in (("pipeline", ()), ("augmented", strong)):
        batches = iter(training_batches(part, batch_size=BATCH, epochs=ENDLESS, augment=changes))
        for _ in range(WARM_UP):
            next(batches)
        begin = time.perf_counter()
        tiles = sum(len(next(batches)[0]) for _ in range(PIPELINE_BATCHES * repeats))
        result[f"{name}_tiles_per_s"] = tiles / (time.perf_counter() - begin)
    return result


def format_result(result: dict) -> str:
    """The measurements as lines for the terminal; a dash for a runtime that is not installed."""
    machine, training, config = result["machine"], result["training"], result["config"]
    lines = [
        f"{config['model']}, attention {config['attention']}, {config['filters']} filters, "
        f"{config['input']['tile_px']} px, batch {config['batch_size']}, {result['dtype_policy']}",
        f"{machine['processor']}, {machine['cores']} cores, {', '.join(machine['devices'])}, "
        f"{machine['backend']}; matrix product {result['matrix_gflops']:.0f} GFLOP/s",
        "",
        f"training step  {1000 * training['step_s']:8.1f} ms, "
        f"{training['images_per_s']:.1f} images/s",
        f"  waiting for data {training['waiting_share']:6.1%}",
        f"  arithmetic       {training['gflop_per_step']:.1f} GFLOP, "
        f"{training['share_of_matrix_rate']:.0%} of the matrix rate",
        f"{'inference':<12}{'median ms':>11}{'95 % ms':>10}{'images/s (batch 16)':>22}",
    ]
    for name, row in result["inference"].items():
        if row is None:
            lines.append(f"{name:<12}{'-':>11}{'-':>10}{'-':>22}")
        else:
            lines.append(
                f"{name:<12}{row['median_ms']:11.1f}{row['p95_ms']:10.1f}{row['images_per_s']:22.1f}"
            )
    decode = result["input"]["decode_tiles_per_s"]
    lines += [
        f"input: {'-' if decode is None else f'{decode:.0f}'} tiles/s from files, "
        f"{result['input']['pipeline_tiles_per_s']:.0f} from the pipeline, "
        f"{result['input']['augmented_tiles_per_s']:.0f} augmented",
        f"peak memory: {result['peak_mb']} MiB" if result["peak_mb"] else "peak memory: -",
    ]
    return "\n".join(lines)
