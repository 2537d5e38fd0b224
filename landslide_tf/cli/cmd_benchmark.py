"""The command `benchmark`: how fast this machine trains and predicts."""

from __future__ import annotations

from landslide_tf.checks import InputError
from landslide_tf.cli.options import (
    add_config_options,
    check_output,
    import_keras_quietly,
    new_parser,
    typed,
)
from landslide_tf.config import TrainConfig, option_fields

BENCHMARK_EXAMPLES = """examples:
  landslide benchmark                                  U-Net++ with 64 filters, batches of 2
  landslide benchmark --model unet --filters 16 --out unet-16.json
  landslide benchmark --mixed-precision on             bfloat16 on a CPU, float16 on a GPU

Random weights on the demo terrain, or --data. ONNX and LiteRT are measured where
requirements-export.txt is installed.
"""


def benchmark_parser(commands):
    """Add the command `benchmark`."""
    parser = new_parser(
        commands, "benchmark", "Measure training and inference here.", BENCHMARK_EXAMPLES
    )
    parser.add_argument(
        "--repeats", type=int, default=20, metavar="N", help="timed runs of each (default: 20)"
    )
    parser.add_argument("--out", metavar="FILE", help="also write the measurements as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out")
    add_config_options(
        parser,
        only=("data", "tile_px", "model", "attention", "fusion", "filters", "batch_size",
              "mixed_precision"),
    )  # fmt: skip
    parser.set_defaults(run=_benchmark)


def _benchmark(arguments) -> None:
    if arguments.repeats < 1:
        raise InputError(f"--repeats must be at least 1. Received: {arguments.repeats}")
    if arguments.out:
        check_output(arguments.out, [getattr(arguments, "data", None)], arguments.overwrite)
    config = TrainConfig().with_options(**typed(arguments, option_fields()))
    import_keras_quietly()
    from landslide_tf.study.benchmark import benchmark

    benchmark(config, arguments.repeats, arguments.out)
