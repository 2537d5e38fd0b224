"""Start a model from the weights of another one, which may have other channels or another size."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from landslide_tf.checks import InputError


@dataclass(frozen=True)
class Transfer:
    """What `transfer_weights` did, by layer name; `print` shows it in a few lines.

    copied: layers whose weights are now the source's. partly: layers that read more or fewer input
    channels than in the source, with what was copied. left: layers that keep their initial weights,
    with the reason. unused: layers of the source that found no place.
    """

    copied: list[str]
    partly: dict[str, str]
    left: dict[str, str]
    unused: list[str]

    def __str__(self) -> str:
        lines = [f"{len(self.copied)} layers copied"]
        for title, layers in (("partly copied", self.partly), ("initial weights", self.left)):
            reasons = {}
            for name, why in layers.items():
                reasons.setdefault(why, []).append(name)
            lines += [f"{title}: {', '.join(names)} ({why})" for why, names in reasons.items()]
        if self.unused:
            lines.append(f"not used of the source: {', '.join(self.unused)}")
        return "\n".join(lines)


def transfer_weights(model: keras.Model, source: keras.Model) -> Transfer:
    """Copy the weights of `source` into the layers of `model` that have the same name and shapes.

    The height and width of the input do not matter. If the models differ in their number of input
    channels (RGB, or RGB and DEM), the convolutions that read the input get the weights of the
    first channels, which both models have; any further channels keep their initial weights. The
    moving statistics of batch normalisation are copied too.

    Args:
        model: the model to start, changed in place.
        source: the model to copy from, for instance `load_run("runs/first").model`.

    Raises:
        InputError: no layer fits; the model is then unchanged.

    >>> from landslide_tf.models.registry import build_model
    >>> source = build_model("unet", filters=2, input_shape=(32, 32, 3), fusion="rgb")
    >>> model = build_model("unet", filters=2, input_shape=(64, 64, 4))
    >>> print(transfer_weights(model, source))
    40 layers copied
    partly copied: encoder0_conv1 (input channels 1 to 3 of 4; the rest keeps its initial weights)
    """
    target_layers, source_layers = _weighted(model), _weighted(source)
    channels = [m.inputs[0].shape[-1] for m in (model, source)]
    copied, partly, left, values = [], {}, {}, {}
    for name, layer in target_layers.items():
        if name not in source_layers:
            left[name] = "the source has no such layer"
            continue
        own, other = layer.get_weights(), source_layers[name].get_weights()
        shapes, other_shapes = ([w.shape for w in weights] for weights in (own, other))
        if shapes == other_shapes:
            copied.append(name)
            values[name] = other
        elif _read_the_input(shapes, other_shapes, channels):
            n, m = (s[0][2] for s in (shapes, other_shapes))
            shared = min(n, m)
            own[0][:, :, :shared] = other[0][:, :, :shared]
            values[name] = [own[0], *other[1:]]
            rest = "keeps its initial weights" if n > m else "of the source is not used"
            partly[name] = f"input channels 1 to {shared} of {max(n, m)}; the rest {rest}"
        else:
            left[name] = f"shapes {_text(shapes)}, in the source {_text(other_shapes)}"
    if not values:
        raise InputError(
            f"no layer of model {model.name!r} fits one of {source.name!r}; give a source of the "
            "same architecture, attention, fusion and filters"
        )
    for name, weights in values.items():
        target_layers[name].set_weights(weights)
    unused = [name for name in source_layers if name not in target_layers]
    return Transfer(copied, partly, left, unused)


def _weighted(model) -> dict:
    return {layer.name: layer for layer in model.layers if layer.weights}


def _read_the_input(shapes, other_shapes, channels) -> bool:
    """Whether these convolution kernels differ as the models' input channels do, and only so."""
    (kernel, *rest), (other, *other_rest) = shapes, other_shapes
    return (
        len(kernel) == len(other) == 4
        and rest == other_rest
        and (*kernel[:2], kernel[3]) == (*other[:2], other[3])
        and kernel[2] - other[2] == channels[0] - channels[1]
        and kernel[2] <= channels[0]
    )


def _text(shapes) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in shapes)
