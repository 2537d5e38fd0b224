"""What the page may read: models, files of the folder it was given, and what was uploaded."""

from __future__ import annotations

import os
from pathlib import Path

from landslide_tf.app.references import DRIVERS, NAMES, check_vector
from landslide_tf.checks import InputError
from landslide_tf.data.opening import open_raster
from landslide_tf.geo.job import sources
from landslide_tf.training.packaged import packaged_models
from landslide_tf.training.run_folder import is_complete, is_run, run_files

# The first bytes of each kind of file. A file's name proves nothing, because GDAL chooses the
# format by content: a VRT, or another format that refers to files, would make GDAL read them.
SIGNATURES = {
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
}
KINDS = {"scene": ("TIFF",), "tile": ("TIFF", "PNG", "JPEG"), "reference": ("TIFF",)}
SUFFIXES = {
    "scene": (".tif", ".tiff"),
    "tile": (".tif", ".tiff", ".png", ".jpg", ".jpeg"),
    "reference": (*DRIVERS, ".tif", ".tiff"),
}
MOST_LISTED = 2000
DEEPEST = 4  # folders below --runs


def inside(folder, name) -> Path:
    """The real path of a file or folder within `folder`, whatever links and `..` lead to it.

    Raises:
        InputError: there is none, or it lies elsewhere.

    >>> inside("tiles", "../runs")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: '../runs': is not in the folder of the page; choose another
    """
    root = Path(os.path.realpath(folder))
    try:
        path = (root / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError, TypeError):
        path = None
    if path is None or not path.is_relative_to(root):
        raise InputError(f"{str(name)!r}: is not in the folder of the page; choose another")
    return path


def check_file(path: Path, kind: str, folder) -> Path:
    """Return `path` if it is a file of its `kind` and reads nothing outside `folder`.

    Raises:
        InputError: it is not.

    >>> from pathlib import Path
    >>> _ = Path("map.tif").write_text("<VRTDataset/>")
    >>> check_file(Path("map.tif"), "scene", ".")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: map.tif: is no TIFF; give one, or restore the file
    """
    vector = kind == "reference" and path.suffix.lower() in DRIVERS
    if vector:
        read = [beside for beside in path.parent.iterdir() if beside.stem == path.stem]
    else:
        _check_picture(path, kind)
        read = sources(path)  # with what lies beside it: overviews, masks, statistics
    for source in read:
        inside(folder, os.path.abspath(source))
    if vector:
        check_vector(path)
    return path


def _check_picture(path: Path, kind: str) -> None:
    with open(path, "rb") as file:
        start = file.read(16)
    kinds = KINDS[kind]
    if not any(start.startswith(SIGNATURES[name]) for name in kinds):
        other = f"{NAMES}, or " if kind == "reference" else ""
        raise InputError(
            f"{path.name}: is no {other}{' or '.join(kinds)}; give one, or restore the file"
        )
    open_raster(path).close()


def listed(folder, kind: str) -> list[str]:
    """The files of a `kind` in and below a folder, as names relative to it; [] without a folder.

    Hidden ones and links that lead out of it are left out.
    """
    found = []
    for place, folders, names in os.walk(folder or os.devnull):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not name.lower().endswith(SUFFIXES[kind]):
                continue
            relative = Path(place, name).relative_to(folder)
            try:
                inside(folder, relative)
                relative.as_posix().encode()
            except (InputError, UnicodeEncodeError):
                continue
            found.append(relative.as_posix())
            if len(found) == MOST_LISTED:
                return found
    return found


def available_models(runs) -> dict[str, Path]:
    """The complete runs in and below a folder, and the models that come with the package, by name.

    >>> list(available_models(None)) == [f"{name} (included)" for name in packaged_models()]
    True
    """
    found = {}
    for place, folders, _ in os.walk(runs or os.devnull):
        name = Path(place).relative_to(runs).as_posix()
        if is_run(place):
            folders.clear()
            if is_complete(place) and _is_whole(place, runs):
                found[Path(place).resolve().name if name == "." else name] = Path(place)
        elif name.count("/") + 1 >= DEEPEST:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    found |= {f"{name} (included)": folder for name, folder in packaged_models().items()}
    return found


def _is_whole(run, runs) -> bool:
    """Whether a run has its model, and no link in it leads out of the folder of runs."""
    try:
        for path in run_files(run):
            if os.path.lexists(path):
                inside(runs, os.path.abspath(path))
    except InputError:
        return False
    return Path(run, "model.keras").is_file()
