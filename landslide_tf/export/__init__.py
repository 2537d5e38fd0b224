"""A finished run's model for other runtimes: SavedModel, ONNX, LiteRT, checked against Keras."""
