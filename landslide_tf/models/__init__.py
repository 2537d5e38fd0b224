"""The paper's models as Keras functional builders. `build_model` makes each of them by name."""

from landslide_tf.models.registry import build_model

__all__ = ["build_model"]
