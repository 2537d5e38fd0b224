"""One synthetic scene: image, elevation and landslide mask."""

from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from landslide_tf.data.demo.landforms import place_fields, place_landslides, road_lines
from landslide_tf.data.demo.relief import STEEP, blur, gradient, hillshade, make_relief, noise
from landslide_tf.fields import check_number

SLIDE_SHARE, FIELD_SHARE = 0.08, 0.11  # of a scene's area
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
MAX_SEED = 10**9
GENTLE = np.tan(np.radians(12.0))

# Land cover colours as red, green, blue reflectances in 0..1.
FOREST = (0.20, 0.29, 0.17)
GRASS = (0.43, 0.47, 0.27)
ROCK = (0.52, 0.50, 0.46)
WATER = (0.33, 0.40, 0.38)
ROAD = (0.66, 0.63, 0.57)
SOIL = (0.66, 0.57, 0.43)
CROPS = np.array(
    [
        (0.45, 0.51, 0.26),
        (0.55, 0.54, 0.31),
        (0.35, 0.46, 0.22),
        (0.59, 0.54, 0.36),
        (0.51, 0.47, 0.31),
        (0.39, 0.47, 0.27),
    ]
)


class Scene(NamedTuple):
    """One synthetic scene.

    Attributes:
        image: uint8, (H, W, 3), red, green, blue.
        dem: float32, (H, W), elevation in metres.
        mask: uint8, (H, W), 1 on landslides and 0 elsewhere.
    """

    image: np.ndarray
    dem: np.ndarray
    mask: np.ndarray


def demo_scene(size_px: int = 512, seed: int = 0, resolution_m: float = 10.0) -> Scene:
    """Make one synthetic scene: image, elevation and landslide mask.

    Args:
        size_px: height and width H = W in pixels, 64 to 2048.
        seed: integer >= 0; the same arguments give the same scene.
        resolution_m: pixel size on the ground in metres, 0.1 to 30.

    Raises:
        landslide_tf.checks.InputError: an argument is out of range.

    Example:
        >>> scene = demo_scene(128, seed=3)
        >>> scene.image.shape, scene.dem.dtype.name, scene.mask.max().item()
        ((128, 128, 3), 'float32', 1)
    """
    return make_scene(size_px, seed, resolution_m)[0]


def make_scene(size_px, seed, resolution_m):
    """The scene of `demo_scene` and its bare fields (H, W) bool, which no file records."""
    check_number("size_px", size_px, low=MIN_SIZE_PX, high=MAX_SIZE_PX, whole=True)
    check_number("seed", seed, low=0, high=26 * MAX_SEED + 25, whole=True)
    check_number("resolution_m", resolution_m, low=0.1, high=30.0)
    rng = np.random.default_rng(seed)
    shape = (size_px, size_px)
    dem, rivers = make_relief(rng, size_px, resolution_m)
    # Other terrain gives bare fields their outline and shading.
    decoy, _ = make_relief(rng, size_px, resolution_m)
    slope = gradient(dem, resolution_m, 3.0)[2]
    river = _paint_lines(shape, rivers, 2.0)

    jitter = 0.8 * blur(noise(rng, shape, 12), 0.8)
    # Landslides come in clusters, as after a rainstorm; fields crowd around the same places.
    cluster = np.exp(1.5 * noise(rng, shape, 220, 3.0))
    slides, change = place_landslides(
        rng, dem, cluster, SLIDE_SHARE * dem.size, resolution_m, jitter
    )
    free = (slope < 1.3 * GENTLE) & (slides == 0) & (river < 0.2)
    near = blur((slides > 0).astype(float), 35) ** 2 + 1e-3
    fields, field_light = place_fields(
        rng, decoy, free, near, FIELD_SHARE * dem.size, resolution_m, jitter
    )
    dem = dem + change + 0.02 * resolution_m * noise(rng, shape, 6)

    # Land cover depends on the ground only loosely, or the image would give the slope away.
    high = (dem - dem.mean()) / dem.std()
    hilly = slope / STEEP - 0.8
    wood = noise(rng, shape, 110, 3.0) + 0.15 * noise(rng, shape, 12) + 0.35 * hilly
    forest = np.clip(4 * (wood + 0.1 - 0.15 * high) + 0.5, 0, 1)
    image = np.empty((*shape, 3))
    image[:] = GRASS
    image += 0.035 * noise(rng, shape, 60)[..., None] * (1.0, 0.7, 0.5)
    farm = (noise(rng, shape, 150, 3.5) - 0.5 * hilly - 0.2 * high > 0.5) & (slope < STEEP)
    number, border = _parcels(rng, shape)
    crop = CROPS[(number % 8191) * 31 % len(CROPS)]
    _blend(image, crop, 0.85 * blur(farm.astype(float), 0.7))
    _blend(image, FOREST, 0.6 * border * farm)
    rock = np.clip(1.5 * (high + 0.8 * noise(rng, shape, 40) + slope / STEEP - 3.6), 0, 1)
    _blend(image, FOREST, forest * ~farm)
    _blend(image, ROCK, 0.8 * rock)
    _blend(image, WATER, 0.9 * river)
    lines = road_lines(rng, dem, resolution_m, max(2, size_px // 170))
    _blend(image, ROAD, 0.85 * _paint_lines(shape, lines, 1.4))

    # Scars and bare fields are painted by the same rules: fresh soil, or partly grown over.
    for labels in (slides, fields):
        count = labels.max() + 1
        tone = rng.normal(0, 1, (count, 3)) * (0.03, 0.025, 0.02) + rng.normal(0, 0.04, (count, 1))
        fresh = rng.uniform(0.5, 1.0, count)
        patchy = np.clip(fresh[labels] + 0.18 * noise(rng, shape, 9), 0.15, 0.95)
        cover = blur((labels > 0).astype(float), 0.6)
        nearest = ndimage.grey_dilation(labels, size=(5, 5))
        _blend(image, np.asarray(SOIL) + tone[nearest], cover * np.where(labels, patchy, 0.5))

    grain = 0.10 * forest * ~farm * ((slides == 0) & (fields == 0)) + 0.035
    image *= 1 + (grain * noise(rng, shape, 4, 0.5))[..., None]
    light = hillshade(dem, resolution_m)
    light = np.where(fields > 0, np.nan_to_num(field_light), light)
    light = 1 + 0.45 * (light - 1) + 0.05 * noise(rng, shape, 40)
    image *= np.clip(light, 0.4, 1.5)[..., None]
    image = blur(image, 0.5) + rng.normal(0, 0.008, image.shape)
    image = np.clip(image * 255, 0, 255).astype(np.uint8)
    scene = Scene(image, dem.astype(np.float32), (slides > 0).astype(np.uint8))
    return scene, fields > 0


def _parcels(rng, shape):
    """Farm parcels: an integer per pixel (on a warped, turned grid) and the lines between them."""
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(float)
    warp = 12 * noise(rng, shape, 150, 5.0), 12 * noise(rng, shape, 150, 5.0)
    turn = rng.uniform(0, np.pi)
    u = (np.cos(turn) * xx + np.sin(turn) * yy + warp[0]) / 9.0
    v = (np.cos(turn) * yy - np.sin(turn) * xx + warp[1]) / 15.0
    v = v + (np.floor(u) * 0.618) % 1.0  # neighbouring rows are offset, like bricks
    number = np.floor(u).astype(int) * 7919 + np.floor(v).astype(int) * 104729
    border = np.minimum(np.abs(u - np.round(u)) * 9, np.abs(v - np.round(v)) * 15)
    return number, np.clip(1.3 - border, 0, 1)


def _paint_lines(shape, lines, width):
    """Coverage 0..1 of polylines, `width` pixels wide."""
    canvas = np.zeros((2 * shape[0], 2 * shape[1]), np.uint8)
    for line in lines:
        points = np.round(line * 2 * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, int(round(2 * width)), cv2.LINE_AA, 4)
    return cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA) / 255.0


def _blend(image, colour, weight):
    """Cover `image` in place by `colour` with `weight` 0..1 per pixel."""
    image += (np.asarray(colour) - image) * weight[..., None]
