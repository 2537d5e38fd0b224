"""Models that come with the package: complete run folders with a card each, ready to map with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.files import read_json
from landslide_tf.training.run_folder import is_complete, is_run

FOLDER = Path(__file__).parents[1] / "models_data"


@cache
def packaged_models() -> dict[str, Path]:
    """The run folders of the packaged models by name, in alphabetical order.

    >>> sorted(packaged_models()) == list(packaged_models())
    True
    """
    folders = sorted(FOLDER.iterdir()) if FOLDER.is_dir() else []
    return {folder.name: folder for folder in folders if is_complete(folder)}


def find_run(run_dir) -> Path:
    """The folder of a run, given as a path or as the name of a packaged model.

    A run folder of the user's that has such a name comes first.

    Raises:
        InputError: there is neither.

    >>> find_run("runs/first").name
    'first'
    >>> find_run("no-such-model")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: no-such-model: is not a run folder (no config.json), nor ...
    """
    folder, packaged = Path(run_dir), packaged_models()
    if is_run(folder):
        return folder
    if str(run_dir) in packaged:
        return packaged[str(run_dir)]
    raise InputError(
        f"{run_dir}: is not a run folder (no config.json), nor a packaged model "
        f"({', '.join(packaged) or 'there are none'})"
    )


def read_card(name: str) -> dict:
    """The model card of a packaged model, the content of `card.json`.

    It has `title`, `input`, `pixel`, `data`, `terms`, `use`, `not_for`, `recipe`, `scores` and
    `min_area_m2`. On validation, polygons below this area were more often false than true.

    Raises:
        InputError: no such model, or its card is damaged.

    >>> read_card("no-such-model")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: no-such-model: is no packaged model; they are ...
    """
    packaged = packaged_models()
    if name not in packaged:
        raise InputError(f"{name}: is no packaged model; they are {', '.join(packaged)}")
    return read_json(packaged[name] / "card.json", "install the package again")
