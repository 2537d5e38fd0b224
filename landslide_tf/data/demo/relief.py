"""Synthetic relief: mountains carved by rivers, with the rivers' courses."""

import cv2
import numpy as np
from scipy import fft, ndimage

CELL_PX = 8  # the drainage network is modelled on a grid this much coarser than the image
MARGIN_CELLS = 12  # modelled beyond the scene and cut away, as rivers leave the grid at its edge
STEEP = np.tan(np.radians(25.0))
RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)


def blur(values, sigma):
    """Gaussian blur by `sigma` pixels, mirrored at the rim."""
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def noise(rng, shape, wavelength, beta=2.0):
    """Isotropic fractal noise of unit variance; nothing is coarser than `wavelength` pixels."""
    # The field is periodic: it is drawn larger and cropped, or opposite edges would match.
    size = [fft.next_fast_len(n + min(wavelength, n), real=True) for n in shape]
    fy, fx = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None]
    freq = np.maximum(np.hypot(fy, fx), 1e-9)
    gain = freq ** (-beta / 2 - 0.5) * np.exp(-((1 / (wavelength * freq)) ** 4))
    field = fft.irfft2(fft.rfft2(rng.standard_normal(size)) * gain, s=size)
    field = field[: shape[0], : shape[1]]
    return (field - field.mean()) / (field.std() + 1e-12)


def gradient(dem, resolution, sigma=1.5):
    """Gradient (down rows, along columns) and its length in m/m, slightly smoothed."""
    gy, gx = np.gradient(blur(dem, sigma), resolution)
    return gy, gx, np.hypot(gy, gx)


def hillshade(dem, resolution, azimuth=315.0, altitude=50.0):
    """Illumination of the relief, 1 on level ground."""
    gy, gx = np.gradient(dem, resolution)
    az, alt = np.radians(azimuth), np.radians(altitude)
    # Rows run south: the sun's direction in (row, column) is (-cos, sin).
    toward = gy * np.cos(az) - gx * np.sin(az)
    light = (np.sin(alt) + toward * np.cos(alt)) / np.sqrt(1 + gy**2 + gx**2)
    return np.clip(light, 0.05, None) / np.sin(alt)


def make_relief(rng, size, resolution):
    """Elevation (m), (size, size), and its rivers as a list of (x, y) polylines in pixels."""
    cells = -(-size // CELL_PX) + 2 * MARGIN_CELLS
    coarse, area, receiver = _erode(rng, (cells, cells))
    start = MARGIN_CELLS * CELL_PX

    def enlarge(grid):
        full = cv2.resize(grid, None, fx=CELL_PX, fy=CELL_PX, interpolation=cv2.INTER_CUBIC)
        full = blur(full, 0.75 * CELL_PX)
        return full[start : start + size, start : start + size]

    h = enlarge(coarse)
    # Fill the valley bottoms with sediment: gentle floors between steep flanks.
    h *= np.tan(np.radians(33.0)) / np.percentile(gradient(h, 1.0)[2], 80)
    floor = blur(ndimage.minimum_filter(h, 51), 18) + 6.5
    h = floor + 2.0 * np.logaddexp(0.0, (h - floor) / 2.0)
    h += 0.10 * noise(rng, h.shape, 24) * np.clip(gradient(h, 1.0)[2] / STEEP, 0.2, 1.0)
    rivers = [(line + 0.5) * CELL_PX - start - 0.5 for line in _rivers(area, receiver)]
    return resolution * h + 600.0, rivers


def _erode(rng, shape, steps=40):
    """Relief carved by rivers: the stream power law, implicit in time, on the coarse grid.

    Returns the height (in cell sizes), the drainage area (in cells) and each cell's receiver. Sums
    along the drainage tree use pointer doubling: log2(longest river) vectorised passes in place of
    a loop over cells.
    """
    h = (0.3 * noise(rng, shape, 40, 2.2)).ravel()
    # Rock strength varies, so that valleys are not all equally wide.
    strength = np.exp(0.35 * noise(rng, shape, 30)).ravel()
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
