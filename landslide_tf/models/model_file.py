"""Save and load `.keras` files, portably and safely.

Every Keras version that we support (from 3.10 on) can read the files that we write. Before Keras
opens a file, all classes and functions that its configuration names are compared with lists of
harmless ones.
"""

from __future__ import annotations

import json
import re
import stat
import sys
import tempfile
import zipfile
from pathlib import Path

from landslide_tf.checks import InputError
from landslide_tf.files import atomic_path

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_BYTES = 4 * 2**30  # unpacked; the largest model of the paper at 64 filters takes 150 MB
MAX_CONFIG_BYTES = 2**26

# What a configuration may build. All of it computes on arrays; nothing here opens a file, calls a
# function that the file names, or holds code. Left out for that reason: Lambda, TFSMLayer,
# TorchModuleWrapper, JaxLayer, FlaxLayer, the vocabulary layers (they read files), and operations
# that take a function (`keras.ops.map`, `vectorize`, `cond`, ...).
LAYERS = set(
    """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization CenterCrop Concatenate
    Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D
    Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention Identity InputLayer LayerNormalization LeakyReLU Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply
    Normalization PReLU Permute RMSNormalization RandomBrightness RandomContrast RandomCrop
    RandomFlip RandomRotation RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing SeparableConv1D SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D SpectralNormalization Subtract TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()
)
OPERATIONS = set(
    """
    Abs Absolute Add All Amax Amin Any Argmax Argmin BroadcastTo Ceil Clip Concatenate Cos Cumsum
    Divide DivideNoNan Dot Equal Exp ExpandDims Expm1 Flip Floor GetItem Greater GreaterEqual
    Isfinite Isnan Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr Matmul Max Maximum Mean
    Min Minimum Moveaxis Multiply NanToNum Negative NotEqual OnesLike Pad Power Prod Reciprocal
    Repeat Reshape Roll Round Sign Sin Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes
    Tanh Tensordot Tile Transpose TrueDivide Var Where ZerosLike
    """.split()
)
NN_OPERATIONS = set(
    """
    AveragePool Celu Conv ConvTranspose DepthwiseConv Elu Gelu Glu HardSigmoid HardSilu HardTanh
    LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments Normalize OneHot RMSNorm Relu Relu6
    Selu SeparableConv Sigmoid Silu Softmax Softplus Softsign
    """.split()
)
ACTIVATIONS = set(
    """
    celu elu exponential gelu glu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu softmax softplus softsign swish tanh
    """.split()
)
INITIALIZERS = set(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones
    Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    """.split()
)
NORMALISATION = "keras.src.layers.normalization.batch_normalization"  # see `normalisation.py`
# module: its classes that may be built
CLASSES = {
    None: {"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"},
    "keras": {"DTypePolicy", "Functional", "Sequential"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "keras.dtype_policies": {"DTypePolicy", "FloatDTypePolicy"},
    "keras.initializers": INITIALIZERS,
    "keras.layers": LAYERS,
    "keras.random": {"SeedGenerator"},
    "keras.regularizers": {"L1", "L1L2", "L2", "OrthogonalRegularizer"},
    "keras.src.applications.convnext": {"LayerScale"},
    "keras.src.models.functional": {"Functional"},
    NORMALISATION: {"BatchNormalization"},
    "keras.src.ops.core": {"Cast", "StopGradient"},
    "keras.src.ops.image": {"Resize"},
    "keras.src.ops.math": {"Logsumexp", "Rsqrt"},
    "keras.src.ops.nn": NN_OPERATIONS,
    "keras.src.ops.numpy": OPERATIONS,
}
# module: its functions that may be named
FUNCTIONS = dict.fromkeys(("builtins", "keras.activations", "keras.ops"), ACTIVATIONS)

# Entries that Keras 3.10 does not know, and their default values. An entry with its default value
# is left out of the file: the model stays the same, and older versions of Keras can read it.
NEWER = {
    "input_axes": None,  # of an initializer, since 3.15
    "optional": False,  # of an InputLayer, since 3.13
    "output_axes": None,
    "output_padding": None,  # of a DepthwiseConv2D, written since 3.15
    "quantization_config": None,  # of Dense, Embedding and others, since 3.13
    "renorm": False,  # of BatchNormalization, since 3.14
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}


def save_model(model, path) -> None:
    """Write a Keras model to `path` (`.keras`) atomically, for every Keras from 3.10 on.

    The file holds layers and weights. An optimizer and a loss are left out. A file that was there
    is replaced.

    Raises:
        InputError: `path` does not end in `.keras`, or `load_model` would refuse the file.

    >>> import keras
    >>> x = keras.Input((8, 8, 3))
    >>> save_model(keras.Model(x, keras.layers.Conv2D(1, 1)(x)), "small.keras")
    >>> load_model("small.keras").output_shape
    (None, 8, 8, 1)
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{path}: a model file is called something.keras")
    with atomic_path(path) as scratch:
        whole = scratch.with_name(f"{scratch.stem}-whole.keras")
        try:
            model.save(whole)
            with zipfile.ZipFile(whole) as archive:
                config = json.loads(archive.read(CONFIG))
            _make_portable(config)
            check_config(config, path)
            _copy(whole, scratch, config)
        finally:
            whole.unlink(missing_ok=True)


def load_model(path):
    """The Keras model in a `.keras` file, not compiled, checked as `check_model_file` does.

    Files that other versions of Keras wrote are opened where this one can build their layers.

    Raises:
        InputError: the file is missing, is not a Keras model, holds something that is not on the
            lists above, or was written by a newer Keras that this one cannot read.

    >>> load_model("runs/first/model.keras").output_shape
    (None, 32, 32, 1)
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model file; give the folder of a complete run")
    config, changed, version = _read(path)
    import keras

    try:
        if not changed:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            _copy(path, copy, config)
            return keras.saving.load_model(copy, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive raises what zip, json, h5py or Keras raise
        if _numbers(version) > _numbers(keras.__version__):
            raise InputError(
                f"{path}: was written by Keras {version}, and Keras {keras.__version__} cannot "
                f"read it; pip install 'keras>={version}'"
            ) from None
        raise InputError(f"{path}: is not a Keras model ({_reason(error)})") from None


def check_model_file(path) -> None:
    """Raise `InputError` unless a `.keras` file holds listed Keras layers and their weights alone.

    The check looks at the members of the archive, at everything that its configuration names, and
    at the links in its weights. It does not import Keras.

    >>> check_model_file("runs/first/model.keras")
    >>> check_model_file("runs/first/metrics.json")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: runs/first/metrics.json: is not a Keras model ...
    """
    _read(Path(path))


def check_config(config, source) -> None:
    """Raise `InputError` where a model's configuration names a class or function not on the lists.

    Classes and functions that the running program registered itself
    (`keras.saving.register_keras_serializable`) pass too: they are the program's own code.

    Args:
        config: what `json.loads(model.to_json())` gives.
        source: the file or model, for the message.

    >>> check_config({"module": "keras.layers", "class_name": "Lambda", "config": {}}, "a.keras")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: a.keras: asks for keras.layers.Lambda, which ...
    """
    keras = sys.modules.get("keras")
    own = keras.saving.get_custom_objects() if keras else {}
    for entry in _entries(config):
        module, name, registered = (
            entry.get(key) for key in ("module", "class_name", "registered_name")
        )
        allowed = CLASSES
        if name == "function":
            allowed, name = FUNCTIONS, entry.get("config")
            registered = name if registered is None else registered
        if not all(isinstance(text, str | None) for text in (module, name, registered)):
            raise InputError(f"{source}: is not a Keras model (a class without a name)")
        if name in allowed.get(module, ()) and registered in (None, name):
            continue
        # Keras takes what is registered by this name, whatever module the file gives
        if registered is not None and ">" in registered and registered in own:
            continue
        what = ".".join(filter(None, (module, name)))
        if registered not in (None, name):
            what += f" ({registered})"
        raise InputError(
            f"{source}: asks for {what}, which is not a Keras layer or function that is opened; "
            f"if it is yours, register it first (keras.saving.register_keras_serializable)"
        )


def _read(path):
    """Check a file; returns its portable configuration, whether the file's own one differs from it,
    and the version of Keras that wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            config = json.loads(archive.read(CONFIG))
            version = str(json.loads(archive.read(METADATA))["keras_version"])
            changed = _make_portable(config)
            check_config(config, path)
            _check_weights(archive, path)
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises what zip, json or h5py raise
        raise InputError(f"{path}: is not a Keras model ({_reason(error)})") from None
    return config, changed, version


def _check_members(archive, path) -> None:
    """Refuse an archive that holds more, or more bytes, than Keras writes for plain layers."""
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_BYTES:
        raise InputError(f"{path}: unpacks to {unpacked / 2**30:.1f} GiB, not a model of ours")
    names = [member.filename for member in members]
    for member in members:
        name = member.filename
        plain = not stat.S_ISLNK(member.external_attr >> 16) and names.count(name) == 1
        if name not in (CONFIG, METADATA, WEIGHTS) or not plain:
            kind = "" if plain else " as a link or twice"
            raise InputError(
                f"{path}: holds {name!r}{kind}, which a model of Keras layers does not"
            )
        if name != WEIGHTS and member.file_size > MAX_CONFIG_BYTES:
            raise InputError(f"{path}: {name} takes {member.file_size / 2**20:.0f} MiB, too many")


def _check_weights(archive, path) -> None:
    """Refuse weights that are read from other files, or unpack to more than fits."""
    import h5py

    with archive.open(WEIGHTS) as raw, h5py.File(raw, "r") as file:
        link = file.visititems_links(
            lambda name, link: None if isinstance(link, h5py.HardLink) else name
        )
        arrays = []
        file.visititems(
            lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None
        )
        outside = link or next((a.name for a in arrays if a.is_virtual or a.external), None)
        if outside:
            raise InputError(f"{path}: its weights {outside!r} point elsewhere; it was not opened")
        size = sum(a.size * a.dtype.itemsize for a in arrays)
        if size > MAX_BYTES:
            raise InputError(
                f"{path}: its weights take {size / 2**30:.1f} GiB, not a model of ours"
            )


def _make_portable(config) -> bool:
    """Change a configuration so that each Keras from 3.10 on reads it; returns whether it did."""
    changed = False
    for entry in list(_entries(config)):
        changed |= entry.pop("compile_config", None) is not None
        if entry.get("module") == NORMALISATION:  # of ours, and of Keras: the public name
            entry.update(module="keras.layers", registered_name=None)
            changed = True
        inner = entry.get("config")
        if not isinstance(inner, dict):
            continue
        drop = [key for key, value in NEWER.items() if key in inner and inner[key] == value]
        if str(entry.get("module")).startswith("keras.src.ops.") and "name" in inner:
            drop.append("name")  # of an operation, since 3.11; the layer list names it, too
        for key in drop:
            del inner[key]
        changed |= bool(drop)
    return changed


def _entries(config):
    """Every dictionary of a configuration that names a class."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _copy(source, target, config) -> None:
    """A `.keras` file with another configuration."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        new.writestr(METADATA, old.read(METADATA))
        new.writestr(CONFIG, json.dumps(config))
        with old.open(WEIGHTS) as reader, new.open(WEIGHTS, "w", force_zip64=True) as writer:
            while block := reader.read(2**24):
                writer.write(block)


def _numbers(version: str) -> list[int]:
    """'3.15.1' as [3, 15, 1], to compare."""
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _reason(error) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:120]
