"""Training a model: from a `TrainConfig` to a complete run folder."""
