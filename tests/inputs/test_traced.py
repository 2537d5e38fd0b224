"""The compiled steps of preprocessing: as the plain ones, and traced once."""

import numpy as np

from landslide_tf.inputs import InputSpec, Preprocessor
from landslide_tf.inputs.traced import TracedPreprocessor, _traced


def test_tiles_of_any_size_and_resolution_share_a_trace(rng):
    spec = InputSpec(tile_px=16, terrain=("slope",))
    traced, plain = TracedPreprocessor(spec), Preprocessor(spec)
    _traced.cache_clear()  # another test may have traced this spec
    counts = []
    for i, side in enumerate((20, 30, 40, 50, 61)):
        image = rng.integers(0, 255, (1, side, side, 3)).astype("uint8")
        dem = rng.normal(1000, 50, (1, side, side)).astype("float32")
        where = (2.0 + i / 7, 3.0 + i / 9)  # tiles in degrees have each their own
        x, valid = traced(image, dem, resolution_m=where)
        wanted, known = plain(image, dem, resolution_m=where)
        np.testing.assert_allclose(x, wanted, atol=1e-5)
        np.testing.assert_array_equal(valid, known)
        counts.append(_traced(spec, "resize").experimental_get_tracing_count())
    assert counts[1:] == [2] * 4  # the first size, then all others
