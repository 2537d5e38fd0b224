"""The ONNX file for QGIS' plugin Deepness. It takes raw bands; its graph does the preprocessing.

Deepness (0.6.x) reads bands as they are stored, divides them by 255, subtracts the metadata's
`standardization_mean`, divides by `standardization_std`, and gives the model (B, C, H, W) float32.
It keeps only the middle of each tile of the model's output. The graph multiplies its input by 255
to restore the stored values.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from landslide_tf.checks import InputError
from landslide_tf.console import warn
from landslide_tf.data.index import find_samples
from landslide_tf.data.tile import read_file
from landslide_tf.inputs import InputSpec, Preprocessor
from landslide_tf.inputs.preprocess import brightest
from landslide_tf.inputs.spec import NO_DATA_BELOW, STACK_NODATA
from landslide_tf.runs.run import Run
from landslide_tf.training.packaged import packaged_models

NOT_FOR_QGIS = (
    "Not for QGIS: the input is what input.json describes, scaled and normalised, (B, H, W, C). "
    "model-qgis.onnx takes raw bands."
)
FOR_QGIS = (
    "For QGIS' plugin Deepness. The bands are those of a file of 'landslide data stack': red, "
    "green, blue{dem}, as they are stored. No data, where the probability is 0: all three colours "
    f"are 0, or a value lies below {NO_DATA_BELOW:g} ({STACK_NODATA:g} in such files) or is not "
    "finite."
)


def raw_brightness(run: Run) -> float:
    """The image value that becomes 1: the run's, or the highest of its tiles' type.

    It is 255 for the demo terrain and for packaged models, which were trained on 8-bit images, and
    where the tiles cannot be read, which a line says.

    >>> from landslide_tf.runs.run import load_run
    >>> raw_brightness(load_run("runs/first"))  # tiles of bytes
    255.0
    """
    own_data = run.config.data and run.folder not in packaged_models().values()
    if run.spec.rgb_scale is not None or not own_data:
        return run.spec.rgb_scale or 255.0
    try:
        sample = find_samples(run.config.data, need_mask=False).samples[0]
        return brightest(run.spec, str(read_file(sample, "image", run.spec).values.dtype))
    except InputError:  # moved, packed, or not what it was
        line = (
            f"{run.config.data}: has no tiles to read; model-qgis.onnx takes 255 as the brightest "
            "value. If the model was trained on 16-bit images, put its tiles there and export again"
        )
        warn([line])
        return 255.0


def qgis_probability(model, spec: InputSpec, brightness: float):
    """A function from raw bands / 255 (B, H, W, C) to probability (B, H, W, 1), 0 without data.

    >>> import keras
    >>> logits = keras.layers.Conv2D(1, 1, kernel_initializer="zeros")
    >>> model = keras.Sequential([keras.Input((16, 16, 4)), logits])
    >>> ask = qgis_probability(model, InputSpec(tile_px=16), 255.0)
    >>> bands = np.full((1, 16, 16, 4), 90, "float32")
    >>> bands[0, 0, 0, 3] = STACK_NODATA
    >>> np.asarray(ask(bands / 255))[0, 0, :2, 0].tolist()
    [0.0, 0.5]
    """
    preprocess = Preprocessor(dataclasses.replace(spec, rgb_scale=brightness))

    def known(values):
        return ops.logical_and(ops.isfinite(values), values > NO_DATA_BELOW)

    def probability(inputs):
        raw = ops.cast(inputs, "float32") * 255.0
        image, dem = raw[..., :3], raw[..., 3:4] if spec.uses_dem else None
        image_valid = ops.all(known(image), axis=-1, keepdims=True)
        image_valid = ops.logical_and(image_valid, ops.any(image > 0, axis=-1, keepdims=True))
        dem_valid = None if dem is None else known(dem)
        x, valid = preprocess(image, dem, image_valid=image_valid, dem_valid=dem_valid)
        return ops.where(valid, ops.sigmoid(model(x, training=False)), 0.0)

    return probability


def qgis_metadata(run: Run) -> dict:
    """What Deepness reads from an ONNX file, and what a person should know of it.

    >>> from landslide_tf.runs.run import load_run
    >>> facts = qgis_metadata(load_run("runs/first"))
    >>> facts["model_type"], facts["tile_size"], facts["class_names"]["1"]
    ('Segmentor', 32, 'landslide')
    """
    spec, resolution = run.spec, run.metrics.get("resolution_m")
    return {
        "for_qgis": True,
        "note": FOR_QGIS.format(dem=", elevation in metres" if spec.uses_dem else ""),
        "input": spec.to_dict(),
        "brightness": raw_brightness(run),
        "model_type": "Segmentor",
        "class_names": {"0": "background", "1": "landslide"},
        "standardization_mean": [0.0] * spec.channels,
        "standardization_std": [1.0] * spec.channels,
        "tile_size": spec.tile_px,
        "tiles_overlap": 50,
        "seg_thresh": run.threshold,
        # The median filter of 9 pixels that Deepness else runs over the answer drops small slides.
        "seg_small_segment": 0,
        # in centimetres
        **({"resolution": round(100 * resolution, 3)} if resolution else {}),
    }


def as_deepness(image, dem) -> np.ndarray:
    """What Deepness makes of raw tiles (B, H, W, 3) and their DEM (B, H, W) or None, float32.

    NaN in the DEM becomes no data, as in files of `data stack`.

    >>> bands = as_deepness(np.full((1, 2, 2, 3), 255), np.full((1, 2, 2), np.nan))
    >>> bands[0, 0, 0].round(1).tolist()
    [1.0, 1.0, 1.0, -128.5]
    """
    bands = [np.asarray(image, "float32")]
    if dem is not None:
        bands.append(np.nan_to_num(np.asarray(dem, "float32"), nan=STACK_NODATA)[..., None])
    return np.float32(np.concatenate(bands, axis=-1) * 1.0 / 255.0)
