"""The trained models that come with the package."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "models_data"


def packaged_models() -> dict[str, Path]:
    """The run folder of each model that comes with the package, by name.

    >>> all((folder / "metrics.json").is_file() for folder in packaged_models().values())
    True
    """
    return {path.parent.name: path.parent for path in sorted(FOLDER.glob("*/metrics.json"))}
