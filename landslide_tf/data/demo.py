"""Built-in demo data: seeded synthetic terrain with landslides, ready to train on.

The scenes are made so that the image alone does not solve them. Bare fields share the colours,
textures, outlines and shading of landslide scars but lie on gentle ground and leave no trace in
the elevation; landslides follow steep slopes downhill, with a hollow at the head and a deposit at
the toe. Telling the two apart takes the elevation model.

Landforms have a fixed size in pixels. Heights scale with the pixel size, so that slopes do not
depend on it.
"""

import os
import shutil
import string
import uuid
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from scipy import fft, ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from tqdm import tqdm

from landslide_tf.checks import InputError

VERSION = 1  # raise when the terrain changes: the cached copy is then made anew
CRS = "EPSG:32648"
NODATA = -9999.0
SLIDE_SHARE, FIELD_SHARE = 0.08, 0.11  # of a scene's area
CELL_PX = 8  # the drainage network is modelled on a grid this much coarser than the image
MARGIN_CELLS = 12  # modelled beyond the scene and cut away, as rivers leave the grid at its edge
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
RESOLUTION_RANGE = 0.1, 30.0
MAX_SEED = 10**9
STEEP = np.tan(np.radians(25.0))
GENTLE = np.tan(np.radians(12.0))
RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)

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


def _check_range(name, value, low, high):
    if not low <= value <= high:
        raise InputError(f"`{name}` must be between {low} and {high}. Received: {value!r}")


def _blur(values, sigma):
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def _noise(rng, shape, wavelength, beta=2.0):
    """Isotropic fractal noise of unit variance; nothing is coarser than `wavelength` pixels."""
    # The field is periodic: it is drawn larger and cropped, or opposite edges would match.
    size = [fft.next_fast_len(n + min(wavelength, n), real=True) for n in shape]
    fy, fx = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None]
    freq = np.maximum(np.hypot(fy, fx), 1e-9)
    gain = freq ** (-beta / 2 - 0.5) * np.exp(-((1 / (wavelength * freq)) ** 4))
    field = fft.irfft2(fft.rfft2(rng.standard_normal(size)) * gain, s=size)
    field = field[: shape[0], : shape[1]]
    return (field - field.mean()) / (field.std() + 1e-12)


def _slope(dem, resolution, sigma=1.5):
    """Gradient (down rows, along columns) and its length in m/m, slightly smoothed."""
    gy, gx = np.gradient(_blur(dem, sigma), resolution)
    return gy, gx, np.hypot(gy, gx)


def _receivers(h):
    """Index of the lowest-lying steepest neighbour of every cell; a pit or an edge is its own."""
    n, m = h.shape
    index = np.arange(n * m).reshape(n, m)
    best, receiver = np.zeros_like(h), index.copy()
    distance = np.ones_like(h)
    core = (slice(1, -1), slice(1, -1))
    for dy, dx in [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]:
        d = np.hypot(dy, dx)
        other = (slice(1 + dy, n - 1 + dy), slice(1 + dx, m - 1 + dx))
        drop = (h[core] - h[other]) / d
        better = drop > best[core]
        best[core] = np.where(better, drop, best[core])
        receiver[core] = np.where(better, index[other], receiver[core])
        distance[core] = np.where(better, d, distance[core])
    return receiver.ravel(), distance.ravel()


def _erode(rng, shape, steps=40):
    """Relief carved by rivers: the stream power law, implicit in time, on the coarse grid.

    Returns the height (in cell sizes), the drainage area (in cells) and each cell's receiver. Sums
    along the drainage tree use pointer doubling: log2(longest river) vectorised passes in place of
    a loop over cells.
    """
    h = (0.3 * _noise(rng, shape, 40, 2.2)).ravel()
    # Rock strength varies, so that valleys are not all equally wide.
    strength = np.exp(0.35 * _noise(rng, shape, 30)).ravel()
    h -= h.min()
    for _ in range(steps):
        receiver, distance = _receivers(h.reshape(shape))
        root = receiver == np.arange(h.size)
        area, up, passes = np.ones(h.size), receiver.copy(), int(np.ceil(np.log2(4 * sum(shape))))
        # Roots drain into one extra cell, which ends every chain.
        sink = np.where(root, h.size, up)
        area, sink = np.append(area, 0.0), np.append(sink, h.size)
        for _ in range(passes):
            area = area + np.bincount(sink, area, minlength=h.size + 1)
            area[-1] = 0.0
            sink = sink[sink]
        area = area[:-1]
        factor = 0.5 * strength * area**0.45 / distance
        a = np.where(root, h, (h + 0.35) / (1 + factor))
        b = np.where(root, 0.0, factor / (1 + factor))
        for _ in range(passes):
            a, b, up = a + b * a[up], b * b[up], up[up]
        # Pits fill up to their lowest neighbour until they spill; the edges stay as base level.
        grid = a.reshape(shape)
        inner = grid[1:-1, 1:-1]
        for _ in range(8):
            ring = cv2.erode(grid, RING, borderType=cv2.BORDER_REPLICATE)[1:-1, 1:-1]
            np.copyto(inner, ring + 0.01, where=inner <= ring)
        h = grid.ravel()
    return h.reshape(shape), area.reshape(shape), receiver


def _relief(rng, size, resolution):
    """Elevation (m), (size, size), and its rivers as a list of (x, y) polylines in pixels."""
    cells = -(-size // CELL_PX) + 2 * MARGIN_CELLS
    coarse, area, receiver = _erode(rng, (cells, cells))
    start = MARGIN_CELLS * CELL_PX

    def enlarge(grid):
        full = cv2.resize(grid, None, fx=CELL_PX, fy=CELL_PX, interpolation=cv2.INTER_CUBIC)
        full = _blur(full, 0.75 * CELL_PX)
        return full[start : start + size, start : start + size]

    h = enlarge(coarse)
    # Fill the valley bottoms with sediment: gentle floors between steep flanks.
    h *= np.tan(np.radians(33.0)) / np.percentile(_slope(h, 1.0)[2], 80)
    floor = _blur(ndimage.minimum_filter(h, 51), 18) + 6.5
    h = floor + 2.0 * np.logaddexp(0.0, (h - floor) / 2.0)
    h += 0.10 * _noise(rng, h.shape, 24) * np.clip(_slope(h, 1.0)[2] / STEEP, 0.2, 1.0)
    rivers = [(line + 0.5) * CELL_PX - start - 0.5 for line in _rivers(area, receiver)]
    return resolution * h + 600.0, rivers


def _rivers(area, receiver, source=50):
    """Courses of the rivers, from where `source` cells drain to the grid's edge, as (x, y)."""
    wet = np.flatnonzero(area.ravel() >= source)
    lines = []
    for node in np.setdiff1d(wet, receiver[wet[receiver[wet] != wet]]):
        line = [node]
        while receiver[line[-1]] != line[-1]:
            line.append(receiver[line[-1]])
        line = np.array(np.divmod(line, area.shape[1]))[::-1].T
        # A course that ends inside the grid would be seen to vanish.
        if len(line) > 3 and (line[-1] % (area.shape[0] - 1) == 0).any():
            # Repeating the points before smoothing leaves a winding course without corners.
            line = np.repeat(line, 4, axis=0).astype(float)
            lines.append(ndimage.gaussian_filter1d(line, 4.0, axis=0, mode="nearest"))
    return lines


def _trace_down(down, start, length):
    """Path of steepest descent from `start`, one point per pixel; None where it leaves the scene.

    `down` holds the unit vectors (rows, columns) of the downhill direction.
    """
    dy, dx = down
    y, x, path = float(start[0]), float(start[1]), []
    vy, vx = dy.item(*start), dx.item(*start)
    for _ in range(length):
        path.append((y, x))
        i, j = int(y + 0.5), int(x + 0.5)
        if not (2 <= i < dy.shape[0] - 2 and 2 <= j < dy.shape[1] - 2):
            return None
        # Moving debris keeps part of its direction, so that paths do not zigzag along a gully.
        vy, vx = 0.75 * vy + 0.25 * dy.item(i, j), 0.75 * vx + 0.25 * dx.item(i, j)
        norm = (vy * vy + vx * vx) ** 0.5
        if norm < 0.3:
            return None
        y, x = y + vy / norm, x + vx / norm
    return np.array(path)


def _scar(rng, path, shape):
    """One scar along `path`: window, distance inside its outline (px), place 0 head .. 1 toe."""
    half = max(3.5, len(path) * rng.uniform(0.12, 0.19))
    path = path[::2]  # dense enough for discs this wide
    t = np.linspace(0, 1, len(path))
    # Round head, narrower track, wider toe.
    radius = half * (1.0 - rng.uniform(0.3, 0.5) * np.exp(-(((t - 0.62) / 0.2) ** 2)))
    radius *= np.sqrt(np.clip(t / 0.12, 0.3, 1)) * np.sqrt(np.clip((1 - t) / 0.08, 0.4, 1))
    low = np.maximum(np.floor(path.min(0) - half - 4).astype(int), 0)
    high = np.minimum(np.ceil(path.max(0) + half + 5).astype(int), shape)
    yy, xx = np.mgrid[low[0] : high[0], low[1] : high[1]]
    inside = radius - np.hypot(yy[..., None] - path[:, 0], xx[..., None] - path[:, 1])
    position = t[inside.argmax(-1)]
    return np.s_[low[0] : high[0], low[1] : high[1]], inside.max(-1), position


def _scars(rng, dem, weight, taken, resolution, jitter):
    """Endless scars that run down the steep flanks of `dem`, heads as dense as `weight`.

    Yields the window, the outline (bool) and the change of elevation (m) of each, all of one size.
    Paths that meet nonzero pixels of `taken` are passed over.
    """
    gy, gx, steep = _slope(dem, resolution, 3.0)
    down = -gy / (steep + 1e-9), -gx / (steep + 1e-9)
    # Heads lie well above the valley floor, so that there is a flank to run down.
    above = dem - _blur(ndimage.minimum_filter(dem, 51), 18)
    chance = np.cumsum((weight * (steep > STEEP) * (above > 8 * resolution)).ravel())
    for _ in range(2500 if chance[-1] > 0 else 0):
        start = np.unravel_index(np.searchsorted(chance, rng.uniform(0, chance[-1])), dem.shape)
        if taken[start]:
            continue
        path = _trace_down(down, start, int(np.clip(rng.lognormal(3.7, 0.3), 22, 70)))
        if path is None:
            continue
        pixels = tuple(np.round(path).astype(int).T)
        slope = steep[pixels]
        if taken[pixels].any() or slope.mean() < 0.75 * STEEP or slope.min() < 0.2 * STEEP:
            continue
        window, inside, t = _scar(rng, path, dem.shape)
        inside = inside + jitter[window]
        hollow = np.sin(np.pi * np.clip(t / 0.6, 0, 1)) * -rng.uniform(0.25, 0.6)
        toe = np.sin(np.pi * np.clip((t - 0.65) / 0.35, 0, 1)) * rng.uniform(0.1, 0.25)
        yield window, inside > 0, np.clip(inside / 3.0, 0, 1) * (hollow + toe) * resolution


def _place_landslides(rng, dem, weight, area, resolution, jitter):
    """Landslides covering up to `area` pixels: labels (0 is free ground), elevation change (m)."""
    labels, change = np.zeros(dem.shape, np.int32), np.zeros(dem.shape)
    for window, body, trace in _scars(rng, dem, weight, labels, resolution, jitter):
        if not labels[window][body].any():
            labels[window][body] = labels.max() + 1
            change[window] += trace
        if np.count_nonzero(labels) >= area:
            break
    return labels, change


def _place_fields(rng, decoy, free, weight, area, resolution, jitter):
    """Bare fields covering up to `area` pixels of `free` ground: labels, and the light on them.

    Each is the outline of a scar on other terrain (`decoy`), put down on free ground together with
    that terrain's shading, so that a field has the outline and the light of a scar.
    """
    labels, light = np.zeros(decoy.shape, np.int32), np.full(decoy.shape, np.nan)
    chance = np.cumsum((weight * free).ravel())
    for window, body, trace in _scars(rng, decoy, 1.0, np.zeros(decoy.shape), resolution, jitter):
        shade = _hillshade(decoy[window] + trace, resolution)
        for corner in rng.uniform(0, chance[-1], 40 if chance[-1] > 0 else 0):
            i, j = np.unravel_index(np.searchsorted(chance, corner), decoy.shape)
            i, j = i - body.shape[0] // 2, j - body.shape[1] // 2
            target = np.s_[i : i + body.shape[0], j : j + body.shape[1]]
            if min(i, j) < 0 or free[target].shape != body.shape:
                continue
            if free[target][body].mean() > 0.9 and not labels[target][body].any():
                labels[target][body & free[target]] = labels.max() + 1
                light[target] = np.where(labels[target] == labels.max(), shade, light[target])
                break
        if np.count_nonzero(labels) >= area:
            break
    return labels, light


def _hillshade(dem, resolution, azimuth=315.0, altitude=50.0):
    """Illumination of the relief, 1 on level ground."""
    gy, gx = np.gradient(dem, resolution)
    az, alt = np.radians(azimuth), np.radians(altitude)
    # Rows run south: the sun's direction in (row, column) is (-cos, sin).
    toward = gy * np.cos(az) - gx * np.sin(az)
    light = (np.sin(alt) + toward * np.cos(alt)) / np.sqrt(1 + gy**2 + gx**2)
    return np.clip(light, 0.05, None) / np.sin(alt)


def _blend(image, colour, weight):
    """Cover `image` in place by `colour` with `weight` 0..1 per pixel."""
    image += (np.asarray(colour) - image) * weight[..., None]


def _parcels(rng, shape):
    """Farm parcels: an integer per pixel (on a warped, turned grid) and the lines between them."""
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(float)
    warp = 12 * _noise(rng, shape, 150, 5.0), 12 * _noise(rng, shape, 150, 5.0)
    turn = rng.uniform(0, np.pi)
    u = (np.cos(turn) * xx + np.sin(turn) * yy + warp[0]) / 9.0
    v = (np.cos(turn) * yy - np.sin(turn) * xx + warp[1]) / 15.0
    v = v + (np.floor(u) * 0.618) % 1.0  # neighbouring rows are offset, like bricks
    number = np.floor(u).astype(int) * 7919 + np.floor(v).astype(int) * 104729
    border = np.minimum(np.abs(u - np.round(u)) * 9, np.abs(v - np.round(v)) * 15)
    return number, np.clip(1.3 - border, 0, 1)


def _road_lines(rng, dem, resolution, number):
    """Least-cost routes between random edge points, dear on slopes: a list of (x, y) polylines."""
    step = 4
    h = dem[::step, ::step]
    n, m = h.shape
    index = np.arange(n * m).reshape(n, m)
    wander = np.exp(0.4 * _noise(rng, h.shape, 20))
    rows, cols, costs = [], [], []
    for dy, dx in [(0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1)]:
        a = np.s_[: n - dy, max(0, -dx) : m - max(0, dx)]
        b = np.s_[dy:, max(0, dx) : m + min(0, dx)]
        d = np.hypot(dy, dx)
        grade = np.abs(h[b] - h[a]) / (d * step * resolution)
        rows.append(index[a].ravel())
        cols.append(index[b].ravel())
        costs.append((d * wander[a] * (1 + (grade / 0.06) ** 2)).ravel())
    rows, cols, costs = map(np.concatenate, (rows, cols, costs))
    graph = coo_matrix((costs, (rows, cols)), shape=(n * m, n * m)).tocsr()
    lines = []
    for k in range(number):
        side = [index[0], index[:, 0], index[-1], index[:, -1]]
        # Low points of an edge are where valleys leave the scene.
        ends = [
            min(rng.choice(s, 4), key=h.ravel().__getitem__) for s in (side[k % 2], side[2 + k % 2])
        ]
        _, before = dijkstra(graph, False, ends[0], return_predecessors=True)
        node, line = ends[1], []
        while node >= 0:
            line.append(divmod(node, m)[::-1])
            node = before[node]
        line = ndimage.gaussian_filter1d(np.array(line, float) * step, 1.5, axis=0, mode="nearest")
        lines.append(line)
    return lines


def _paint_lines(shape, lines, width):
    """Coverage 0..1 of polylines, `width` pixels wide."""
    canvas = np.zeros((2 * shape[0], 2 * shape[1]), np.uint8)
    for line in lines:
        points = np.round(line * 2 * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, int(round(2 * width)), cv2.LINE_AA, 4)
    return cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA) / 255.0


def demo_scene(size_px: int = 512, seed: int = 0, resolution_m: float = 10.0) -> Scene:
    """Make one synthetic scene: image, elevation and landslide mask.

    Args:
        size_px: height and width H = W in pixels, 64 to 2048.
        seed: integer >= 0; the same arguments give the same scene.
        resolution_m: pixel size on the ground in metres, 0.1 to 30.

    Returns:
        A `Scene` with `image` uint8 (H, W, 3), `dem` float32 (H, W) in metres and `mask` uint8
        (H, W) of 0 and 1.

    Raises:
        landslide_tf.checks.InputError: an argument is out of range.

    Example:
        >>> scene = demo_scene(128, seed=3)
        >>> scene.image.shape, scene.dem.dtype.name, scene.mask.max().item()
        ((128, 128, 3), 'float32', 1)
    """
    return _make_scene(size_px, seed, resolution_m)[0]


def _make_scene(size_px, seed, resolution_m):
    """The scene of `demo_scene` and its bare fields (H, W) bool, which no file records."""
    _check_range("size_px", size_px, MIN_SIZE_PX, MAX_SIZE_PX)
    _check_range("seed", seed, 0, 26 * MAX_SEED + 25)
    _check_range("resolution_m", resolution_m, *RESOLUTION_RANGE)
    rng = np.random.default_rng(seed)
    shape = (size_px, size_px)
    dem, rivers = _relief(rng, size_px, resolution_m)
    decoy, _ = _relief(rng, size_px, resolution_m)  # gives bare fields their outline and shading
    slope = _slope(dem, resolution_m, 3.0)[2]
    river = _paint_lines(shape, rivers, 2.0)

    jitter = 0.8 * _blur(_noise(rng, shape, 12), 0.8)
    # Landslides come in clusters, as after a rainstorm; fields crowd around the same places.
    cluster = np.exp(1.5 * _noise(rng, shape, 220, 3.0))
    slides, change = _place_landslides(
        rng, dem, cluster, SLIDE_SHARE * dem.size, resolution_m, jitter
    )
    free = (slope < 1.3 * GENTLE) & (slides == 0) & (river < 0.2)
    near = _blur((slides > 0).astype(float), 35) ** 2 + 1e-3
    fields, field_light = _place_fields(
        rng, decoy, free, near, FIELD_SHARE * dem.size, resolution_m, jitter
    )
    dem = dem + change + 0.02 * resolution_m * _noise(rng, shape, 6)

    # Land cover depends on the ground only loosely, or the image would give the slope away.
    high = (dem - dem.mean()) / dem.std()
    hilly = slope / STEEP - 0.8
    wood = _noise(rng, shape, 110, 3.0) + 0.15 * _noise(rng, shape, 12) + 0.35 * hilly
    forest = np.clip(4 * (wood + 0.1 - 0.15 * high) + 0.5, 0, 1)
    image = np.empty((*shape, 3))
    image[:] = GRASS
    image += 0.035 * _noise(rng, shape, 60)[..., None] * (1.0, 0.7, 0.5)
    farm = (_noise(rng, shape, 150, 3.5) - 0.5 * hilly - 0.2 * high > 0.5) & (slope < STEEP)
    number, border = _parcels(rng, shape)
    crop = CROPS[(number % 8191) * 31 % len(CROPS)]
    _blend(image, crop, 0.85 * _blur(farm.astype(float), 0.7))
    _blend(image, FOREST, 0.6 * border * farm)
    rock = np.clip(1.5 * (high + 0.8 * _noise(rng, shape, 40) + slope / STEEP - 3.6), 0, 1)
    _blend(image, FOREST, forest * ~farm)
    _blend(image, ROCK, 0.8 * rock)
    _blend(image, WATER, 0.9 * river)
    lines = _road_lines(rng, dem, resolution_m, max(2, size_px // 170))
    _blend(image, ROAD, 0.85 * _paint_lines(shape, lines, 1.4))

    # Scars and bare fields are painted by the same rules: fresh soil, or partly grown over.
    for labels in (slides, fields):
        count = labels.max() + 1
        tone = rng.normal(0, 1, (count, 3)) * (0.03, 0.025, 0.02) + rng.normal(0, 0.04, (count, 1))
        fresh = rng.uniform(0.5, 1.0, count)
        patchy = np.clip(fresh[labels] + 0.18 * _noise(rng, shape, 9), 0.15, 0.95)
        cover = _blur((labels > 0).astype(float), 0.6)
        nearest = ndimage.grey_dilation(labels, size=(5, 5))
        _blend(image, np.asarray(SOIL) + tone[nearest], cover * np.where(labels, patchy, 0.5))

    grain = 0.10 * forest * ~farm * ((slides == 0) & (fields == 0)) + 0.035
    image *= 1 + (grain * _noise(rng, shape, 4, 0.5))[..., None]
    light = _hillshade(dem, resolution_m)
    light = np.where(fields > 0, np.nan_to_num(field_light), light)
    light = 1 + 0.45 * (light - 1) + 0.05 * _noise(rng, shape, 40)
    image *= np.clip(light, 0.4, 1.5)[..., None]
    image = _blur(image, 0.5) + rng.normal(0, 0.008, image.shape)
    image = np.clip(image * 255, 0, 255).astype(np.uint8)
    scene = Scene(image, dem.astype(np.float32), (slides > 0).astype(np.uint8))
    return scene, fields > 0


def demo_folder() -> Path:
    """The folder of the built-in demo set; written when it is first asked for.

    It lies below `$LANDSLIDE_CACHE`, else the user's cache folder.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("LANDSLIDE_CACHE") or home) / "landslide_tf" / f"demo-{VERSION}"
    if not folder.is_dir():
        print(f"making the demo terrain in {folder}", flush=True)
        try:
            write_demo(folder)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); set LANDSLIDE_CACHE to a folder "
                "that can, or give --data"
            ) from None
    return folder


def write_demo(
    folder,
    *,
    seed: int = 0,
    scenes: int = 6,
    tile_px: int = 96,
    scene_px: int = 672,
    resolution_m: float = 10.0,
    min_share: float = 0.01,
    negatives: int = 60,
    progress: bool = True,
) -> int:
    """Write a demo data set of georeferenced tiles in the layout of the Bijie data set.

    Non-overlapping tiles are cut from several scenes that lie apart from each other on the ground:
    `landslide/{image,dem,mask}/NAME.tif` where landslides cover at least `min_share` of the tile,
    and `non-landslide/{image,dem}/NAME.tif` for up to `negatives` tiles with no landslide pixel.
    NAME is `demoA_ROW_COL`, with the letter of the scene and the tile's place in it, so that a name
    prefix tells the scenes apart. Images are uint8 (3 bands, RGB), elevations float32 in metres
    (nodata -9999), masks uint8 of 0 and 1; all GeoTIFF in EPSG:32648. The folder appears only once
    it is complete.

    Args:
        folder: where to write; must not exist, or be empty.
        seed: integer >= 0; the same arguments give the same files.
        scenes: number of scenes, 1 to 26.
        tile_px: height and width of a tile in pixels, 16 to `scene_px`.
        scene_px: height and width of a scene in pixels, 64 to 2048.
        resolution_m: pixel size on the ground in metres, 0.1 to 30.
        min_share: least share of landslide pixels in a landslide tile, above 0 and at most 1. Tiles
            with fewer, but some, are left out.
        negatives: largest number of tiles without landslides, spread over the scenes.
        progress: show a progress bar on the standard error stream.

    Returns:
        The number of landslide tiles written.

    Raises:
        landslide_tf.checks.InputError: `folder` is in use, an argument is out of range, or no tile
            has enough landslides. `folder` is left as it was.

    Example:
        >>> write_demo("demo-data", scenes=2)  # doctest: +SKIP
        75
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; name a new folder or remove it first")
    _check_range("scenes", scenes, 1, len(string.ascii_uppercase))
    _check_range("scene_px", scene_px, MIN_SIZE_PX, MAX_SIZE_PX)
    _check_range("tile_px", tile_px, 16, scene_px)
    _check_range("resolution_m", resolution_m, *RESOLUTION_RANGE)
    _check_range("min_share", min_share, 1e-6, 1)
    _check_range("negatives", negatives, 0, 10**6)
    _check_range("seed", seed, 0, MAX_SEED)
    # A hidden sibling is on the same disk, so that the final rename is one step.
    partial = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}-partial")
    partial.mkdir(parents=True)
    try:
        count = 0
        for k in tqdm(range(scenes), "demo scenes", disable=not progress):
            # Fixed stride: scenes of neighbouring seeds never coincide.
            scene = demo_scene(scene_px, 26 * seed + k, resolution_m)
            quota = negatives * (k + 1) // scenes - negatives * k // scenes
            count += _write_tiles(partial, scene, k, tile_px, resolution_m, min_share, quota)
        if count == 0:
            raise InputError(
                f"no landslide tile in {scenes} scenes of {scene_px} pixels; "
                "raise `scenes` or `scene_px`"
            )
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return count


def _write_tiles(root, scene, number, tile_px, resolution, min_share, quota):
    """Cut scene `number` into tiles and write them under `root`; returns the landslide tiles."""
    size = scene.mask.shape[0]
    # Six scenes a row, with a gap of a quarter scene.
    pitch = 1.25 * size * resolution
    west, north = 200_000 + number % 6 * pitch, 3_300_000 - number // 6 * pitch
    count = 0
    for row in range(size // tile_px):
        for col in range(size // tile_px):
            y, x = row * tile_px, col * tile_px
            image, dem, mask = (a[y : y + tile_px, x : x + tile_px] for a in scene)
            share = mask.mean()
            if 0 < share < min_share or (share == 0 and quota == 0):
                continue
            kind = "landslide" if share else "non-landslide"
            parts = {"image": image.transpose(2, 0, 1), "dem": dem[None], "mask": mask[None]}
            if share:
                count += 1
            else:
                quota -= 1
                del parts["mask"]
            transform = rasterio.Affine(
                resolution, 0, west + x * resolution, 0, -resolution, north - y * resolution
            )
            name = f"demo{string.ascii_uppercase[number]}_{row:02d}_{col:02d}.tif"
            for part, bands in parts.items():
                path = root / kind / part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_tiff(path, bands, transform, NODATA if part == "dem" else None)
    return count


def _write_tiff(path, bands, transform, nodata):
    """Write (bands, H, W) as a compressed GeoTIFF; three bands are red, green, blue."""
    colour = len(bands) == 3
    # Differencing neighbours before deflate: 2 is for integers, 3 for floating point.
    predictor = 3 if bands.dtype.kind == "f" else 2
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        crs=CRS,
        transform=transform,
        nodata=nodata,
        compress="deflate",
        predictor=predictor,
        photometric="RGB" if colour else "MINISBLACK",
    ) as file:
        file.write(bands)
        if colour:
            file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
