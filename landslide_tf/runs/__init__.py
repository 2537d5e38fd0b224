"""A complete run: loading it, predicting with it, explaining it."""
