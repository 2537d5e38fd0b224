"""`export`: write a finished run's model in a format, check it against Keras, describe it."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError, JobError, check_choice
from landslide_tf.console import say
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.dataset import Part
from landslide_tf.data.demo import demo_folder
from landslide_tf.export import formats, qgis
from landslide_tf.files import SCRATCH, disk_is_full, sha256, write_json
from landslide_tf.inputs.resize import resize_nearest
from landslide_tf.models.probability import Predictor
from landslide_tf.runs.run import Run, load_run
from landslide_tf.training.environment import PACKAGES, versions

CARD = "model-card.json"
FULL_DISK = 2**20  # bytes: with less free, a failed write is one for want of space
CHECKED_TILES = 16
CALIBRATION_TILES = 100
MAX_DIFFERENCE = 1e-4  # in probability, for float32
MAX_FLIPPED = 0.02  # share of pixels that change sides of the threshold, for int8
RAW_SIZES = ((97, 131), (200, 160))  # of the pictures that `serve_raw` is checked with


def export_run(run_dir, format_: str, out=None, *, int8=None, overwrite: bool = False) -> Path:
    """Export the model of a complete run and check it against Keras; returns the folder.

    `savedmodel` writes a SavedModel. `onnx` writes `model.onnx` and, unless the model reads slope
    or hillshade, `model-qgis.onnx`, which takes raw bands in QGIS' plugin Deepness. `litert` writes
    `model.tflite` and, with `int8`, `model-int8.tflite`. Each folder also has `model-card.json` and
    `input.json`. The folder is written only if its files pass the check.

    Args:
        run_dir: the run's folder.
        format_: 'savedmodel', 'onnx' or 'litert'.
        out: folder to write; default RUN_DIR/export/FORMAT.
        int8: folder of tiles to calibrate the int8 file with ('litert').
        overwrite: replace `out`.

    Raises:
        InputError: no such run or format, a package is missing, `out` exists.
        JobError: the export differs from the Keras model by more than 1e-4 in probability, or, for
            int8, in more than 2 % of the pixels; nothing is left of it (beside a bad int8 file,
            `model.tflite` is kept).

    Example:
        >>> folder = export_run("runs/first", "savedmodel", "exported")
        serve: largest difference in probability ...
        exported to exported
        >>> x = np.zeros((2, 32, 32, 4), "float32")
        >>> formats.run_savedmodel(folder, "serve", inputs=x).shape
        (2, 32, 32)
        >>> (folder / "model-card.json").is_file()
        True
    """
    check_choice("format", format_, formats.FORMATS)
    if int8 is not None and format_ != "litert":
        raise InputError("--int8 goes with --format litert")
    out = Path(out) if out is not None else Path(run_dir) / "export" / format_
    if out.exists() and not overwrite:
        raise InputError(f"{out}: exists; give --overwrite to replace it, or another --out")
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / CARD).is_file()):
        raise InputError(
            f"{out}: is no export (it has no {CARD}), which --overwrite would delete with all that "
            "is in it; give another --out"
        )
    formats.check_installed(format_)
    run = load_run(run_dir)
    model = formats.float32_model(run.model)
    x = _model_inputs(run, _tiles(run), CHECKED_TILES)
    calibration = None
    if int8 is not None:
        calibration = _model_inputs(run, load_tiles(int8, run.spec), CALIBRATION_TILES)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f"{SCRATCH}{os.getpid()}-{out.name}")
    try:
        checks = _write_and_check(run, model, format_, scratch, x)
        failure = None
        if calibration is not None:
            checks, failure = _add_int8(run, model, scratch, x, calibration, checks)
        run.spec.save(scratch)
        write_json(scratch / CARD, model_card(run, format_, checks, scratch))
        if out.exists():
            shutil.rmtree(out)
        scratch.replace(out)
    except (OSError, JobError, InputError):
        raise
    except Exception as error:  # TensorFlow, ONNX and LiteRT each have their own for a full disk
        if shutil.disk_usage(out.parent).free > FULL_DISK and not disk_is_full(error):
            raise
        raise OSError(errno.ENOSPC, "No space left on device", str(out)) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for name, check in checks.items():
        say(
            f"{name}: largest difference in probability {check['difference']:.1e}, "
            f"{check['flipped']:.3%} of the pixels change sides of the threshold"
        )
    if format_ in ("savedmodel", "onnx") and run.spec.terrain:
        name = "serve_raw" if format_ == "savedmodel" else "model-qgis.onnx"
        say(f"{name} is left out: slope and hillshade need the pixel's size in metres")
    say(f"exported to {out}")
    if failure:
        raise JobError(f"{failure}. {out / 'model.tflite'} is kept")
    return out


def _tiles(run: Run):
    """The run's own tiles; demo tiles where they cannot be read any more."""
    try:
        data = run.config.data or demo_folder()
        return load_tiles(data, run.spec, skip_bad=run.config.skip_bad)
    except InputError as error:
        say(f"{error}; checking with tiles of the demo terrain")
        return load_tiles(demo_folder(), run.spec)


def _model_inputs(run: Run, tiles, count: int) -> np.ndarray:
    indices = np.unique(np.linspace(0, len(tiles) - 1, count).astype(int))
    return Part(tiles, indices, run.spec).arrays(range(len(indices)))[0]


def _write_and_check(run: Run, model, format_, folder: Path, x) -> dict[str, dict]:
    expected = Predictor(model)(x)
    folder.mkdir()
    checks = {}

    def check(name, got, wanted=expected):
        checks[name] = compare(got, wanted, run.threshold)
        if checks[name]["difference"] > MAX_DIFFERENCE:
            raise JobError(
                f"{name} differs from the Keras model by {checks[name]['difference']:.1e} in "
                f"probability (limit {MAX_DIFFERENCE:g}); it was removed"
            )

    if format_ == "savedmodel":
        formats.write_savedmodel(model, run.spec, folder)
        check("serve", formats.run_savedmodel(folder, "serve", inputs=x))
        if not run.spec.terrain:
            for image, dem in _raw_inputs(x):
                inputs = {"image": image, "dem": dem} if run.spec.uses_dem else {"image": image}
                check(
                    f"serve_raw {image.shape[1]} x {image.shape[2]}",
                    formats.run_savedmodel(folder, "serve_raw", **inputs),
                    run.predict(image, dem),
                )
    elif format_ == "onnx":
        facts = {"for_qgis": False, "note": qgis.NOT_FOR_QGIS, "input": run.spec.to_dict()}
        formats.write_onnx(model, folder / "model.onnx", metadata=facts)
        check("model.onnx", formats.run_onnx(folder / "model.onnx", x))
        if not run.spec.terrain:
            path, facts = folder / "model-qgis.onnx", qgis.qgis_metadata(run)
            formats.write_onnx(
                model, path, qgis.qgis_probability(model, run.spec, facts["brightness"]), facts
            )
            bright = dataclasses.replace(run.spec, rgb_scale=facts["brightness"])
            for image, dem in _raw_inputs(x, [run.spec.shape[:2]]):
                dem = dem if run.spec.uses_dem else None
                image = image.astype("float32") * facts["brightness"] / 255
                wanted = np.nan_to_num(dataclasses.replace(run, spec=bright).predict(image, dem))
                got = formats.run_onnx(path, qgis.as_deepness(image, dem), channels_first=True)
                check(path.name, got, wanted)
    else:
        formats.write_litert(model, folder / "model.tflite")
        check("model.tflite", formats.run_litert(folder / "model.tflite", x))
    return checks


def _add_int8(run: Run, model, folder: Path, x, calibration, checks):
    """Add the int8 file; returns all checks, and why it was not kept (or None)."""
    path = folder / "model-int8.tflite"
    try:
        formats.write_litert(model, path, calibration)
        check = compare(formats.run_litert(path, x), Predictor(model)(x), run.threshold)
    except JobError as error:
        failure = str(error)
    else:
        if check["flipped"] <= MAX_FLIPPED:
            return {**checks, path.name: check}, None
        failure = (
            f"{path.name}: {check['flipped']:.1%} of the pixels change sides of the threshold "
            f"(limit {MAX_FLIPPED:.0%}); it was removed. Give --int8 more and typical tiles, or "
            "leave it out"
        )
    path.unlink(missing_ok=True)
    return checks, failure


def compare(got, wanted, threshold: float) -> dict[str, float]:
    """Largest difference in probability and share of pixels that change sides of the threshold.

    Where one has no data (NaN) and the other has, the difference is 1.

    >>> compare(np.array([0.1, 0.6]), np.array([0.2, 0.4]), 0.5)
    {'difference': 0.2, 'flipped': 0.5}
    """
    got, wanted = np.asarray(got, "float64"), np.asarray(wanted, "float64")
    difference = np.abs(got - wanted)
    difference[np.isnan(got) & np.isnan(wanted)] = 0
    difference = np.nan_to_num(difference, nan=1.0)
    flipped = (got >= threshold) != (wanted >= threshold)
    return {"difference": round(float(difference.max()), 9), "flipped": float(flipped.mean())}


def _raw_inputs(x, sizes=RAW_SIZES):
    """Pictures and DEMs of some sizes, made from a model's inputs, with no data in the DEM."""
    rng = np.random.default_rng(0)
    for size in sizes:
        image = np.asarray(resize_nearest(x[:4, ..., :3], size))
        image = (255 * np.clip(image, 0, 1)).round().clip(1).astype("uint8")  # 0 may be no data
        dem = np.asarray(resize_nearest(x[:4, ..., -1:], size))[..., 0] * 300 + 1000
        dem += rng.normal(0, 2, dem.shape)
        dem[:, : size[0] // 4, : size[1] // 3] = np.nan
        yield image, dem.astype("float32")


def model_card(run: Run, format_: str, checks: dict, folder: Path) -> dict:
    """What a user of the exported files must know of the model.

    >>> run, folder = load_run("runs/first"), Path("exported")
    >>> folder.mkdir()
    >>> card = model_card(run, "savedmodel", checks={}, folder=folder)
    >>> card["model"], card["channels"], card["input_px"]
    ('unet', ['red', 'green', 'blue', 'dem'], [32, 32])
    """
    config, m = run.config, run.metrics
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "model": config.model,
        "attention": config.attention,
        "format": format_,
        "onnx_opset": formats.OPSET if format_ == "onnx" else None,
        "channels": list(run.spec.channel_names),
        **run.spec.describe(),
        "input_px": [run.spec.tile_px, run.spec.tile_px],
        "resolution_m": m.get("resolution_m"),
        "output": "probability of landslide, 0 to 1",
        "threshold": run.threshold,
        "data": Path(config.data).name if config.data else "demo terrain",
        "data_sha256": run.split.get("data_sha256"),
        "split_sha256": sha256(run.folder / "split.json"),
        "model_sha256": sha256(run.folder / "model.keras"),
        "scores": {name: m[name] for name in ("validation", "test", "test_chosen")},
        "checked": checks,
        "licence": "code: Apache-2.0; the training data have terms of their own, which may bind "
        "the weights",
        "versions": versions((*PACKAGES, "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")),
        "files": {str(path.relative_to(folder)): sha256(path) for path in files},
    }
