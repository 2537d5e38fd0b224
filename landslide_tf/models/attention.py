"""The attention modules of CBAM (Woo et al. 2018), which the paper describes.

An attention is a function that takes a tensor (B, H, W, C) and a name, and returns a tensor of the
same shape. It uses the name for its layers: `f"{name}_conv"`. You can give `build_model` a function
of your own, or register it under a name with `register_attention`.

The functions use Keras' own layers and no custom layers, so that a saved model loads wherever Keras
is installed.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import layers, ops

from landslide_tf.checks import InputError

REDUCTION = 16  # CBAM's: the perceptron's hidden layer has channels / 16 units
KERNEL_PX = 7  # CBAM's: spatial attention looks at 7 x 7 pixels


def spatial_attention(x, name: str):
    """Weigh every pixel: `x * sigmoid(conv7x7([mean_c(x), max_c(x)]))`, CBAM Eq. 3.

    x is (B, H, W, C), the result too. Channel maps are pooled along the channel axis.

    >>> import keras
    >>> x = keras.Input((8, 8, 4))
    >>> spatial_attention(x, "demo").shape
    (None, 8, 8, 4)
    """
    # (B, H, W, C) -> (B, H, W, 1), twice
    mean = ops.mean(x, axis=-1, keepdims=True)
    maximum = ops.max(x, axis=-1, keepdims=True)
    pooled = layers.Concatenate(name=f"{name}_pool")([mean, maximum])
    weight = layers.Conv2D(
        1, KERNEL_PX, padding="same", use_bias=False, activation="sigmoid", name=f"{name}_conv"
    )(pooled)
    return layers.Multiply(name=name)([x, weight])


def channel_attention(x, name: str):
    """Weigh every channel: `x * sigmoid(mlp(mean_hw(x)) + mlp(max_hw(x)))`, CBAM Eq. 2.

    x is (B, H, W, C), the result too. The two descriptors share one perceptron with
    C / 16 hidden units (at least 1).

    >>> import keras
    >>> x = keras.Input((8, 8, 4))
    >>> channel_attention(x, "demo").shape
    (None, 8, 8, 4)
    """
    channels = x.shape[-1]
    hidden = layers.Dense(max(1, channels // REDUCTION), activation="relu", name=f"{name}_dense1")
    output = layers.Dense(channels, name=f"{name}_dense2")
    # (B, H, W, C) -> (B, 1, 1, C)
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    maximum = layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}_max")(x)
    weight = layers.Add(name=f"{name}_add")([output(hidden(mean)), output(hidden(maximum))])
    weight = layers.Activation("sigmoid", name=f"{name}_sigmoid")(weight)
    return layers.Multiply(name=name)([x, weight])


def _contextual(x, name):
    """Channel attention, then spatial attention: CBAM's order."""
    return spatial_attention(channel_attention(x, f"{name}_channel"), f"{name}_spatial")


def _spatial_contextual(x, name):
    """Spatial attention, then contextual attention."""
    return _contextual(spatial_attention(x, f"{name}_first"), name)


def _none(x, name):
    return x


ATTENTION = {
    "none": _none,
    "spatial": spatial_attention,
    "contextual": _contextual,
    "spatial_contextual": _spatial_contextual,
}


def register_attention(name: str, function: Callable) -> None:
    """Make an attention of your own one of the choices of `build_model`, in this Python process.

    Args:
        name: what `build_model(attention=...)` and the model's name will say.
        function: takes a tensor (B, H, W, C) and a name, returns a tensor of the same shape.

    Raises:
        InputError: the name is taken by another function, or is not a word of letters, digits
            and "_"; or `function` cannot be called.

    >>> def squeeze_excite(x, name):
    ...     weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    ...     weight = layers.Dense(x.shape[-1], activation="sigmoid", name=f"{name}_dense")(weight)
    ...     return layers.Multiply(name=name)([x, weight])
    >>> register_attention("squeeze_excite", squeeze_excite)
    >>> from landslide_tf.models.registry import build_model
    >>> build_model("unet", attention="squeeze_excite", filters=2).name
    'unet_squeeze_excite'
    >>> _ = ATTENTION.pop("squeeze_excite")  # forget it again
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"`name` must be a word such as 'my_attention'. Received: {name!r}")
    if not callable(function):
        raise InputError(f"`function` must be a function of (x, name). Received: {function!r}")
    if ATTENTION.get(name, function) is not function:
        raise InputError(f"the attention {name!r} exists; give another name")
    ATTENTION[name] = function


def find_attention(attention: str | Callable) -> tuple[str, Callable]:
    """Name and function of an attention: one of the choices, or a function of your own.

    Raises:
        InputError: no such choice, with the choices.

    >>> find_attention("spatial")[1] is spatial_attention
    True
    """
    if callable(attention):
        name = getattr(attention, "__name__", "")
        return (name if name.isidentifier() else "own"), attention
    if attention not in ATTENTION:
        raise InputError(
            f"`attention` must be one of {', '.join(map(repr, ATTENTION))}, a function "
            "(x, name) -> tensor of your own, or a name given to `register_attention`. "
            f"Received: {attention!r}"
        )
    return attention, ATTENTION[attention]


def apply_attention(x, attention: str | Callable, name: str):
    """Apply an attention to x (B, H, W, C); returns a tensor of the same shape ('none' returns x).

    Raises:
        InputError: no such choice, or a function of your own returns another shape.

    >>> import keras
    >>> apply_attention(keras.Input((8, 8, 16)), "spatial_contextual", "att").shape
    (None, 8, 8, 16)
    """
    label, function = find_attention(attention)
    y = function(x, name)
    if tuple(getattr(y, "shape", ())) != tuple(x.shape):
        raise InputError(
            f"the attention {label!r} must return a tensor of its input's shape, {tuple(x.shape)}. "
            f"Received: {tuple(y.shape) if hasattr(y, 'shape') else y!r}"
        )
    return y
