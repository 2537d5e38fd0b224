"""Opening a `.keras` file from anywhere: what it would load is looked at first."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from landslide_tf.checks import InputError

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MAX_BYTES = 4 * 2**30  # unpacked; the largest model of the paper at 64 filters takes 150 MB
# Keras classes that hold code of their own or run what a file tells them.
CODE = (
    "Lambda",
    "__lambda__",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
    "function",
)


def load_model(path):
    """The Keras model in a `.keras` file, checked by `check_model_file` and in Keras' safe mode.

    Raises:
        InputError: the file is missing, is no Keras model, or asks for code that is not Keras'.

    >>> load_model("runs/first/model.keras").output_shape
    (None, 32, 32, 1)
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model file; give the folder of a complete run")
    check_model_file(path)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive raises what zip, json, h5py or Keras raise
        raise InputError(f"{path}: is not a Keras model ({_reason(error)})") from None


def check_model_file(path) -> None:
    """Raise `InputError` unless a `.keras` file holds weights and Keras layers and nothing else.

    Looks at the archive's list of members and their sizes, and at every class that its
    configuration names; imports nothing and unpacks no more than the configuration.

    >>> check_model_file("runs/first/model.keras")
    >>> check_model_file("runs/first/metrics.json")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: runs/first/metrics.json: is no Keras model file ...
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > MAX_BYTES:
                raise InputError(
                    f"{path}: unpacks to {unpacked / 2**30:.1f} GiB, not a model of ours"
                )
            extra = sorted({member.filename for member in members} - MEMBERS)
            if extra:
                raise InputError(
                    f"{path}: holds {extra[0]!r}, which a model of Keras layers does not"
                )
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        raise InputError(f"{path}: is not a Keras model ({_reason(error)})") from None
    for module, name in _classes(config):
        inside = module is None or module == "keras" or module.startswith("keras.")
        if not inside or name in CODE:
            where = f"{module}." if module else ""
            raise InputError(
                f"{path}: asks for {where}{name}, which can run code; it was not opened"
            )


def _classes(config):
    """(module, class name) of everything that a configuration would build."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value.get("module"), value["class_name"]
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _reason(error) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:120]
