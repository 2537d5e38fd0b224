"""From a `TrainConfig` to a compiled model: precision, architecture, optimizer, loss, metrics."""

from __future__ import annotations

import keras

from landslide_tf.config import TrainConfig
from landslide_tf.data.dataset import Part
from landslide_tf.losses import inverse_frequency_weights, loss_from_name
from landslide_tf.losses.classes import LOSS_OPTIONS
from landslide_tf.metrics import AUCInValidation, SegmentationMetrics
from landslide_tf.models.registry import build_model
from landslide_tf.training.environment import gpu_available


def precision_policy(config: TrainConfig) -> str:
    """The Keras dtype policy of a training: 'float32', 'mixed_float16' or 'mixed_bfloat16'.

    With a GPU it is float16 unless `mixed_precision` is 'off'; without one it is bfloat16 only if
    `mixed_precision` is 'on'.

    >>> precision_policy(TrainConfig(mixed_precision="off"))
    'float32'
    """
    if config.mixed_precision == "off":
        return "float32"
    if gpu_available():
        return "mixed_float16"
    # float16 on a CPU is two orders of magnitude slower than float32
    return "mixed_bfloat16" if config.mixed_precision == "on" else "float32"


def build(config: TrainConfig, policy: str = "float32") -> keras.Model:
    """The (uncompiled) model of a config under a dtype policy.

    >>> build(TrainConfig(model="unet", filters=2).with_options(tile_px=32)).output_shape
    (None, 32, 32, 1)
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        # Compiled later: Keras scales the loss of a model whose own policy is float16.
        return build_model(
            config.model,
            attention=config.attention,
            fusion=config.input.fusion,
            filters=config.filters,
            dropout=(config.dropout,) * config.dropout_levels,
            input_shape=config.input.shape,
            deep_supervision=config.deep_supervision,
        )
    finally:
        keras.config.set_dtype_policy(before)


def compile_model(model: keras.Model, config: TrainConfig, train: Part) -> keras.callbacks.Callback:
    """Give a model the optimizer, the loss and the metrics that a run trains with.

    Returns a callback for `fit`: with it, training steps leave the AUC to validation.
    """
    metric = SegmentationMetrics()
    model.compile(
        optimizer=make_optimizer(config, train.steps(config.batch_size)),
        loss=make_loss(config, train),
        weighted_metrics=[metric],
        jit_compile="auto",
    )
    return AUCInValidation(metric)


def make_optimizer(config: TrainConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Adam, or AdamW where there is weight decay, with the config's learning rate over time.

    'cosine' falls from the learning rate to 0 over the whole training, after a linear rise over the
    warm-up epochs. With `ema` the optimizer also keeps a moving average of the weights.

    >>> config = TrainConfig(epochs=10, learning_rate=1e-3, schedule="cosine", warmup_epochs=1)
    >>> rate = make_optimizer(config, steps_per_epoch=4)._learning_rate
    >>> [round(1e3 * float(rate(step)), 3) for step in (0, 2, 4, 22, 40)]  # rise, top, half, end
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    rate = config.learning_rate
    if config.schedule == "cosine":
        warmup = round(config.warmup_epochs * steps_per_epoch)
        total = config.epochs * steps_per_epoch
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            total - warmup,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    average = {"use_ema": True, "ema_momentum": config.ema} if config.ema else {}
    if config.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **average)
    return keras.optimizers.Adam(rate, **average)


def averaged_variables(model: keras.Model) -> list:
    """The model's variables, the weights replaced by their moving averages where there are any.

    >>> model = build(TrainConfig(model="unet", filters=2, ema=0.9).with_options(tile_px=32))
    >>> model.compile(make_optimizer(TrainConfig(ema=0.9), 1))
    >>> model.optimizer.build(model.trainable_variables)
    >>> averaged_variables(model)[0] is model.variables[0]
    False
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema:
        return model.variables
    averages = optimizer._model_variables_moving_average
    average_of = {id(v): a for v, a in zip(model.trainable_variables, averages, strict=True)}
    return [average_of.get(id(v), v) for v in model.variables]


def make_loss(config: TrainConfig, train: Part) -> keras.losses.Loss:
    """The loss of a config; WCE's weights come from the training masks unless given.

    >>> make_loss(TrainConfig(loss="focal"), None).get_config()["focusing"]
    2.0
    """
    options = {name: getattr(config, name) for name in LOSS_OPTIONS}
    if "wce" in config.resolved_loss.split("+") and config.wce_weights is None:
        options["wce_weights"] = inverse_frequency_weights(*_class_px(train))
    return loss_from_name(config.resolved_loss, **options)


def _class_px(part: Part) -> tuple[int, int]:
    """Background and landslide pixels among the valid ones."""
    landslide = valid = 0
    for i in part.indices:
        landslide += int((part.tiles.mask[i][part.tiles.valid[i]] > 0).sum())
        valid += int(part.tiles.valid[i].sum())
    return valid - landslide, landslide
