"""Where and with what a run was made."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import keras

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "rasterio",
            "scikit-learn", "opencv-python-headless")  # fmt: skip


def environment(command: list[str] | None = None) -> dict:
    """Where and with what a run was made: versions, processor, devices, commit, command.

    >>> environment(["python", "train.py", "--model", "unet"])["command"]
    'python train.py --model unet'
    """
    return {
        "command": " ".join(command) if command else None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": cores_available(),
        "backend": keras.backend.backend(),
        "devices": devices(),
        "gpu": gpu_available(),
        "packages": versions(PACKAGES),
        "commit": _commit(Path(__file__).parents[2]),
    }


def versions(packages) -> dict[str, str]:
    """Versions of those packages that are installed.

    >>> list(versions(("numpy", "no-such-package")))
    ['numpy']
    """
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def devices() -> list[str]:
    """Names of the devices that the Keras backend in use sees: its GPUs, else its CPU.

    >>> devices()  # ['gpu:0'] on a machine with one
    ['...pu:0'...]
    """
    if keras.backend.backend() == "torch":  # Keras has no list of devices for it
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    grow_gpu_memory()  # the list is TensorFlow's first use of its GPUs
    return [str(device).lower() for device in keras.distribution.list_devices()]


def grow_gpu_memory() -> None:
    """Let TensorFlow take GPU memory as it needs it, not all at once; before its first use."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # in use already: too late, and no harm
            tf.config.experimental.set_memory_growth(gpu, True)


def gpu_available() -> bool:
    """Whether the Keras backend in use sees a GPU.

    >>> gpu_available() == any("gpu" in device or "cuda" in device for device in devices())
    True
    """
    return any(device.startswith(("gpu", "cuda", "rocm")) for device in devices())


def cores_available() -> int:
    """Cores that this process may use, which can be fewer than the machine has.

    >>> 1 <= cores_available() <= os.cpu_count()
    True
    """
    if hasattr(os, "sched_getaffinity"):  # Linux alone
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mib() -> int | None:
    """The most memory that this process has held, MiB; None where the system does not tell.

    >>> peak_memory_mib() is None or peak_memory_mib() > 10
    True
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes, others KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / unit)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def _commit(root: Path) -> str | None:
    """The commit of the checkout in `root`, with '-dirty' for changed code.

    Only Python and requirements files count as code, so new run folders in the checkout do not
    matter. None for an installed package, even if its environment lies inside another checkout.
    """
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "*.py", "requirements*.txt")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, *words], capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
