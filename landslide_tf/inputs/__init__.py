"""The one contract between a raster and a model's input: `InputSpec` and `Preprocessor`."""

from landslide_tf.inputs.spec import InputSpec

__all__ = ["InputSpec", "Preprocessor"]


def __getattr__(name: str):
    if name == "Preprocessor":  # needs Keras, which --help must not wait for
        from landslide_tf.inputs.preprocess import Preprocessor

        return Preprocessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
