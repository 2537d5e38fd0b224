"""Landslide segmentation from satellite imagery and elevation, with Keras.

>>> import landslide_tf
>>> landslide_tf.build_model("unet", filters=4).output_shape
(None, 128, 128, 1)
"""

__version__ = "0.1.0"
__all__ = ["TrainConfig", "build_model", "load_run"]

_HOME = {
    "TrainConfig": "landslide_tf.config",
    "build_model": "landslide_tf.models.registry",
    "load_run": "landslide_tf.runs.run",
}


def __getattr__(name):
    # Imported when used: `--help` must not wait for Keras.
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
