import keras
import numpy as np

from landslide_tf.models.blocks import conv_block, residual_block, up_block

EPSILON = 1e-3  # Keras' batch normalisation, fresh: x / sqrt(1 + epsilon)


def model_of(function, *shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, function(*inputs))


def set_tap(model, layer, weight):
    """A kernel of zeros but for `weight` from the first channel to the first, at its centre."""
    kernel = np.zeros(model.get_layer(layer).kernel.shape, "float32")
    kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, 0, 0] = weight
    model.get_layer(layer).set_weights([kernel])


def test_conv_block_by_hand():
    model = model_of(lambda x: conv_block(x, 1, "b"), (1, 3, 1))
    set_tap(model, "b_conv1", -2.0)
    set_tap(model, "b_conv2", 3.0)
    x = np.reshape([-1, 2, -4], (1, 1, 3, 1)).astype("float32")
    # relu(-2 x) = (2, 0, 8), times 3; each batch normalisation divides by sqrt(1.001)
    np.testing.assert_allclose(np.ravel(model(x)), np.array([6, 0, 24]) / (1 + EPSILON), rtol=1e-5)


def test_residual_block_adds_the_shortcut_before_the_last_relu():
    model = model_of(lambda x: residual_block(x, 1, "b"), (1, 3, 1))
    set_tap(model, "b_conv1", 1.0)
    set_tap(model, "b_conv2", -2.0)
    set_tap(model, "b_conv_shortcut", 0.5)
    x = np.reshape([4, -4, 0], (1, 1, 3, 1)).astype("float32")
    # main path: relu(x) = (4, 0, 0), times -2 = (-8, 0, 0); shortcut: (2, -2, 0).
    # Sum before the ReLU: (-6, -2, 0) -> 0; after it, it would be (2, -2, 0).
    np.testing.assert_allclose(np.ravel(model(x)), 0, atol=1e-6)
    set_tap(model, "b_conv2", 2.0)
    # main path (8, 0, 0), with two normalisations; the shortcut has one
    expected = 8 / (1 + EPSILON) + 2 / np.sqrt(1 + EPSILON)
    np.testing.assert_allclose(np.ravel(model(x)), [expected, 0, 0], rtol=1e-5, atol=1e-6)


def test_up_block_doubles_the_size_and_joins_the_skips_in_order():
    seen = []

    def block(x, filters, name):
        seen.append((filters, name))
        return x

    model = model_of(
        lambda x, a, b: up_block(x, [a, b], 1, "up", block), (1, 2, 1), (2, 4, 1), (2, 4, 1)
    )
    kernel = np.reshape([1, 2, 3, 4], (2, 2, 1, 1)).astype("float32")
    model.get_layer("up_up").set_weights([kernel, np.zeros(1)])
    x = np.reshape([1, 10], (1, 1, 2, 1)).astype("float32")
    a, b = np.full((1, 2, 4, 1), 7, "float32"), np.full((1, 2, 4, 1), 9, "float32")
    result = np.asarray(model([x, a, b]))
    assert seen == [(1, "up")]
    np.testing.assert_array_equal(result[..., :1], a)
    np.testing.assert_array_equal(result[..., 1:2], b)
    # each pixel becomes 2 x 2: the pixel times the kernel
    np.testing.assert_array_equal(result[0, :, :, 2], [[1, 2, 10, 20], [3, 4, 30, 40]])
