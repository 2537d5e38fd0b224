"""What is placed on the relief: landslides, bare fields and roads."""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from landslide_tf.data.demo.relief import STEEP, blur, gradient, hillshade, noise


def place_landslides(rng, dem, weight, area, resolution, jitter):
    """Place landslides until they cover `area` pixels.

    Returns labels (0: free ground) and the change of elevation (m).
    """
    labels, change = np.zeros(dem.shape, np.int32), np.zeros(dem.shape)
    for window, body, trace in _scars(rng, dem, weight, labels, resolution, jitter):
        if not labels[window][body].any():
            labels[window][body] = labels.max() + 1
            change[window] += trace
        if np.count_nonzero(labels) >= area:
            break
    return labels, change


def place_fields(rng, decoy, free, weight, area, resolution, jitter):
    """Place bare fields until they cover `area` pixels of `free` ground.

    Returns labels and the light on them. Each field is the outline of a scar on other terrain
    (`decoy`), put down on free ground together with that terrain's shading, so that a field has the
    outline and the light of a scar.
    """
    labels, light = np.zeros(decoy.shape, np.int32), np.full(decoy.shape, np.nan)
    chance = np.cumsum((weight * free).ravel())
    for window, body, trace in _scars(rng, decoy, 1.0, np.zeros(decoy.shape), resolution, jitter):
        shade = hillshade(decoy[window] + trace, resolution)
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


def _scars(rng, dem, weight, taken, resolution, jitter):
    """Scars that run down the steep flanks of `dem`; their heads are as dense as `weight`.

    Yields the window, the outline (bool) and the change of elevation (m) of each, all of one size.
    Paths that meet nonzero pixels of `taken` are passed over.
    """
    gy, gx, steep = gradient(dem, resolution, 3.0)
    down = -gy / (steep + 1e-9), -gx / (steep + 1e-9)
    # Heads lie well above the valley floor, so that there is a flank to run down.
    above = dem - blur(ndimage.minimum_filter(dem, 51), 18)
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


def road_lines(rng, dem, resolution, number):
    """Least-cost routes between random edge points, dear on slopes: a list of (x, y) polylines."""
    step = 4
    h = dem[::step, ::step]
    n, m = h.shape
    index = np.arange(n * m).reshape(n, m)
    wander = np.exp(0.4 * noise(rng, h.shape, 20))
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
