"""`Preprocessor` for arrays outside a graph: TensorFlow traces each of its steps once."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np

from landslide_tf.inputs.preprocess import Preprocessor, Sized
from landslide_tf.inputs.spec import InputSpec


class TracedPreprocessor(Preprocessor):
    """A `Preprocessor` for NumPy arrays whose two steps each run as one TensorFlow function.

    Run one by one, their sixty operations have more overhead than work on a single tile. Each
    function is traced once for each type of image, and for all sizes of tiles. On other backends
    than TensorFlow the steps run as in `Preprocessor`.

    >>> preprocess = TracedPreprocessor(InputSpec(tile_px=16, fusion="rgb"))
    >>> x, valid = preprocess(np.full((2, 40, 30, 3), 255, "uint8"))
    >>> tuple(x.shape), float(x[0, 0, 0, 0])
    ((2, 16, 16, 3), 1.0)
    """

    def resize(self, *args, resolution_m=None, **options) -> Sized:
        """See `Preprocessor`."""
        if resolution_m is not None:  # as arrays: plain numbers would be traced for each value
            resolution_m = tuple(np.float32(side) for side in resolution_m)
        options["resolution_m"] = resolution_m
        return Sized(*self._step("resize")(*args, **options))

    def stack(self, sized: Sized):
        """See `Preprocessor`."""
        return self._step("stack")(*vars(sized).values())

    def _step(self, name: str):
        # the resolution is an argument: specs that differ in it alone share a trace
        return _traced(dataclasses.replace(self.spec, resolution_m=None), name)


@functools.lru_cache(maxsize=32)
def _traced(spec: InputSpec, step: str):
    """A step of `Preprocessor(spec)` that takes and returns tensors, not `Sized`."""
    plain = Preprocessor(spec)

    def resize(*args, **options):
        return list(vars(plain.resize(*args, **options)).values())

    def stack(*fields):
        return plain.stack(Sized(*fields))

    function = {"resize": resize, "stack": stack}[step]
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)
