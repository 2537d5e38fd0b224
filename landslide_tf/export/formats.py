"""Writing a model in each format, and running what was written in the format's own runtime."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from landslide_tf.checks import InputError, JobError
from landslide_tf.inputs import InputSpec, Preprocessor
from landslide_tf.models.probability import onnx_session

FORMATS = ("savedmodel", "onnx", "litert")
OPSET = 18  # the newest that tf2onnx writes
NEEDS = {
    "savedmodel": (),
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
}


def check_installed(format_: str) -> None:
    """Raise `InputError` unless what the format needs is installed.

    >>> check_installed("savedmodel")  # TensorFlow is there
    """
    missing = [name for name in ("tensorflow", *NEEDS[format_]) if find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format {format_} needs {missing[0]}: pip install -r requirements-export.txt"
        )
    if keras.backend.backend() != "tensorflow":
        raise InputError("export needs the TensorFlow backend: set KERAS_BACKEND=tensorflow")


def float32_model(model):
    """The same layers and weights under the float32 policy; the model itself where it has it."""
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model
    text = json.dumps(model.get_config())
    for policy in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16"):
        text = text.replace(f'"{policy}"', '"float32"')
    rebuilt = model.__class__.from_config(json.loads(text))
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def write_savedmodel(model, spec: InputSpec, folder: Path) -> None:
    """Write a SavedModel with the signatures `serve` and, without terrain channels, `serve_raw`.

    `serve` takes the model's input. `serve_raw` includes the `Preprocessor`: it takes uint8 images
    of any size and, if the model reads elevation, a DEM in metres of any size over the same ground
    (NaN is no data).

    >>> model = keras.Sequential([keras.Input((16, 16, 4)), keras.layers.Conv2D(1, 1)])
    >>> write_savedmodel(model, InputSpec(tile_px=16), Path("exported"))
    >>> import tensorflow as tf
    >>> sorted(tf.saved_model.load("exported").signatures)
    ['serve', 'serve_raw', 'serving_default']
    """
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda inputs: {"probability": tf.sigmoid(model(inputs, training=False))[..., 0]},
        [tf.TensorSpec(model.input_shape, tf.float32, "inputs")],
    )
    image = tf.TensorSpec((None, None, None, 3), tf.uint8, "image")
    dem = tf.TensorSpec((None, None, None), tf.float32, "dem")
    raw = raw_probability(model, spec)
    if not spec.uses_dem:
        archive.add_endpoint("serve_raw", lambda image: {"probability": raw(image)}, [image])
    elif not spec.terrain:  # slope and hillshade need the pixel's size, which is no input
        archive.add_endpoint(
            "serve_raw", lambda image, dem: {"probability": raw(image, dem)}, [image, dem]
        )
    archive.write_out(str(folder), verbose=False)


def raw_probability(model, spec: InputSpec):
    """A function from raw tiles to probability (B, h, w), NaN where the DEM has no data."""
    preprocess = Preprocessor(spec)

    def probability(image, dem=None):
        x, _ = preprocess(image, dem)
        shape = keras.ops.shape(image)
        everywhere = keras.ops.ones_like(image[..., :1], dtype="bool")
        known = None if dem is None else keras.ops.isfinite(dem)[..., None]
        found = keras.ops.sigmoid(model(x, training=False))
        return preprocess.restore(found, shape[1:3], everywhere, known)[..., 0]

    return probability


def write_onnx(model, path: Path, channels_first=None, metadata=None) -> None:
    """Write an ONNX file from the model's input, float32, to probability (B, H, W, 1).

    `channels_first` is a function from this input to probability, which is used in place of the
    model: the file then takes (B, C, H, W) and gives (B, 1, H, W). `metadata` goes into the file.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32, "inputs")])
    def probability(inputs):
        if channels_first:
            found = channels_first(inputs)
        else:
            found = tf.sigmoid(model(inputs, training=False))
        return tf.identity(found, "probability")

    names = probability.get_concrete_function().structured_outputs.name
    proto, _ = tf2onnx.convert.from_function(
        probability,
        input_signature=probability.input_signature,
        opset=OPSET,
        inputs_as_nchw=["inputs:0"] if channels_first else None,
        outputs_as_nchw=[names] if channels_first else None,
    )
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=key, value=json.dumps(value))
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def write_litert(model, path: Path, calibration=None) -> None:
    """LiteRT for one tile at a time; with `calibration` (N, H, W, C) all arithmetic is int8.

    Input and output stay float32.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = (1, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "inputs")])
    def probability(inputs):
        return tf.sigmoid(model(inputs, training=False))

    # Variables become constants first. Otherwise LiteRT reads them before they are initialised, and
    # the result is NaN.
    frozen = convert_variables_to_constants_v2(probability.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([tile[None]] for tile in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path.write_bytes(converter.convert())


def run_savedmodel(folder, signature: str, **inputs) -> np.ndarray:
    """Probability from a SavedModel's signature, loaded without Keras."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))  # kept: signatures die with it
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return loaded.signatures[signature](**tensors)["probability"].numpy()


def run_onnx(path, x, *, channels_first: bool = False) -> np.ndarray:
    """Probability (B, H, W) from an ONNX file in ONNX Runtime.

    >>> if find_spec("tf2onnx") and find_spec("onnxruntime"):  # in requirements-export.txt
    ...     model = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(1, 1)])
    ...     write_onnx(model, Path("model.onnx"))
    ...     black = np.zeros((2, 8, 8, 4), "float32")  # without a bias its logits are 0
    ...     assert (run_onnx("model.onnx", black) == np.full((2, 8, 8), 0.5)).all()
    """
    session = onnx_session(path)
    feed = np.moveaxis(x, -1, 1) if channels_first else x
    (result,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(feed)})
    return result[:, 0] if channels_first else result[..., 0]


def run_litert(path, x) -> np.ndarray:
    """Probability (B, H, W) from a LiteRT file in its interpreter.

    >>> if find_spec("ai_edge_litert"):  # in requirements-export.txt
    ...     model = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(1, 1)])
    ...     write_litert(model, Path("model.tflite"))
    ...     black = np.zeros((2, 8, 8, 4), "float32")  # without a bias its logits are 0
    ...     assert (run_litert(Path("model.tflite"), black) == np.full((2, 8, 8), 0.5)).all()
    """
    return invoke_litert(litert_interpreter(path), x)


def invoke_litert(interpreter, x) -> np.ndarray:
    """Probability (B, H, W), tile by tile."""
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    result = []
    for tile in x:
        interpreter.set_tensor(source["index"], tile[None])
        interpreter.invoke()
        result.append(interpreter.get_tensor(target["index"])[0, ..., 0].copy())
    return np.stack(result)


def litert_interpreter(path):
    """A LiteRT interpreter, ready to run.

    Raises:
        JobError: LiteRT has no kernel for an operation of the model.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:  # some quantised operations have no kernel
        raise JobError(f"{Path(path).name}: LiteRT cannot run it ({str(error).strip()})") from None
    return interpreter
