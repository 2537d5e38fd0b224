"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

import keras

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "rasterio",
            "scikit-learn", "opencv-python-headless")  # fmt: skip


def environment(command: list[str] | None = None) -> dict:
    """Where and with what a run was made: versions, processor, devices, commit, command."""
    return {
        "command": " ".join(command) if command else None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "backend": keras.backend.backend(),
        "devices": devices(),
        "gpu": gpu_available(),
        "packages": versions(PACKAGES),
        "commit": _commit(),
    }


def versions(packages) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def devices() -> list[str]:
    """Names of the devices that the Keras backend in use sees: its GPUs, else its CPU."""
    if keras.backend.backend() == "torch":  # Keras has no list of devices for it
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    return [str(device).lower() for device in keras.distribution.list_devices()]


def gpu_available() -> bool:
    """Whether the Keras backend in use sees a GPU."""
    return any(device.startswith(("gpu", "cuda", "rocm")) for device in devices())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def _commit() -> str | None:
    """The commit of the checkout that the package lies in, with '-dirty' for changed code."""
    here = Path(__file__).parent
    try:
        return (
            subprocess.run(
                ["git", "-C", here, "describe", "--always", "--dirty", "--abbrev=12"],
                capture_output=True, text=True, timeout=10, check=True,
            ).stdout.strip()
            or None
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
