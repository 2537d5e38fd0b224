"""Landslide segmentation from satellite imagery and elevation, with Keras.

>>> import landslide_tf
>>> landslide_tf.build_model("unet", filters=4).output_shape
(None, 128, 128, 1)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; the names are imported when they are used
    from landslide_tf.config import TrainConfig
    from landslide_tf.data.arrays import load_tiles
    from landslide_tf.data.dataset import tile_datasets
    from landslide_tf.inputs import InputSpec, Preprocessor
    from landslide_tf.losses import BCELoss, DiceLoss, FocalLoss, SumLoss, WCELoss, loss_from_name
    from landslide_tf.metrics import AUCInValidation, SegmentationMetrics
    from landslide_tf.models.attention import register_attention
    from landslide_tf.models.registry import build_model
    from landslide_tf.models.weights import transfer_weights
    from landslide_tf.runs.run import load_run
    from landslide_tf.training.batch_norm import reestimate_batch_norm
    from landslide_tf.training.fit import fit

__version__ = "0.2.0"
__all__ = [
    "AUCInValidation",
    "BCELoss",
    "DiceLoss",
    "FocalLoss",
    "InputSpec",
    "Preprocessor",
    "SegmentationMetrics",
    "SumLoss",
    "TrainConfig",
    "WCELoss",
    "build_model",
    "fit",
    "load_run",
    "load_tiles",
    "loss_from_name",
    "reestimate_batch_norm",
    "register_attention",
    "tile_datasets",
    "transfer_weights",
]

# The module that holds each name: `--help` must not wait for Keras.
_HOME = {
    "AUCInValidation": "metrics",
    "BCELoss": "losses",
    "DiceLoss": "losses",
    "FocalLoss": "losses",
    "InputSpec": "inputs.spec",
    "Preprocessor": "inputs.preprocess",
    "SegmentationMetrics": "metrics",
    "SumLoss": "losses",
    "TrainConfig": "config",
    "WCELoss": "losses",
    "build_model": "models.registry",
    "fit": "training.fit",
    "load_run": "runs.run",
    "load_tiles": "data.arrays",
    "loss_from_name": "losses",
    "reestimate_batch_norm": "training.batch_norm",
    "register_attention": "models.attention",
    "tile_datasets": "data.dataset",
    "transfer_weights": "models.weights",
}


def __getattr__(name: str):
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
