"""Check that the masks of a data set lie on their images, by comparing the edges of both.

A single landslide says little. But over tens of tiles, the image has stronger edges under the
outlines of its landslides than under the same outlines shifted, turned or mirrored. If another
position fits better by many standard errors, the masks belong to other ground.
"""

from __future__ import annotations

import numpy as np

from landslide_tf.data.orientation import turned

SIDE_PX = 64  # all tiles are resized to this side before they are compared
REACH_PX = 16  # the largest shift that is tried, in these pixels
LOOKED_AT = 256  # at most this many tiles of a data set are compared, which takes a second
LEAST_TILES = 20  # fewer tiles give no verdict
NEAR_PX = 3  # shifts up to this count as none: masks drawn by hand are not more exact
NEAR = slice(REACH_PX - NEAR_PX, REACH_PX + NEAR_PX + 1)  # the indices of these small shifts
# Another position must fit better by this many standard errors, and by this many deviations.
SURE, BETTER = 6.0, 0.15
# For a tile that counts: least share of pixels with data; limits of the share of landslide.
LEAST_KNOWN, SMALLEST, LARGEST = 0.9, 0.005, 0.8
ORIENTATIONS = [(flip, turns) for flip in (False, True) for turns in range(4)]
SCENE_TILE_PX = 128  # side of the tiles in which a scene is compared
SCENE_TILES, SCENE_FITS = 4096, 64  # tiles of a scene that are searched, and that are compared
WORDS = (
    "",
    "turned to the left by 90 degrees",
    "turned by 180 degrees",
    "turned to the right by 90 degrees",
    "mirrored left to right",
    "with rows and columns exchanged",
    "mirrored top to bottom",
    "mirrored along their other diagonal",
)
# The same as three steps: rows and columns exchanged, rows reversed, columns reversed.
TURNS = [(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1)]


def looked_at(count: int) -> set[int]:
    """Which of `count` tiles are enough to judge a data set by.

    >>> len(looked_at(100)), len(looked_at(100_000))
    (100, 256)
    """
    return set(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int).tolist())


def mask_fit(image, labels, known, orientations=ORIENTATIONS) -> np.ndarray | None:
    """Fit of a mask's outline to the edges of its image at each position: (8, 33, 33) float32.

    The first axis is the orientation of the mask, with one entry for each of `orientations`. The
    others are its shift down and to the right, from -16 to 16 pixels of 64; [0, 16, 16] is the mask
    in place. A value is the mean edge strength of the image under the outline, minus the mean over
    the tile, in standard deviations. Returns None for a tile that says nothing: it has too little
    or too much landslide, one brightness only, or too little data.

    Args:
        image: (H, W, C), of any brightness.
        labels: (h, w), landslide where not 0.
        known: (H, W) bool.

    >>> image = np.zeros((64, 64, 1))
    >>> image[20:40, 10:30] = 1
    >>> fits = mask_fit(image, image[:, ::-1, 0], np.ones((64, 64), bool))  # mirrored
    >>> bool(fits[4, 16, 16] > fits[0, 16, 16])  # mirrored once more, and in place
    True
    """
    import cv2

    size = (SIDE_PX, SIDE_PX)
    drawn = cv2.resize(np.asarray(labels, "uint8"), size, interpolation=cv2.INTER_NEAREST)
    drawn = (drawn > 0).astype("uint8")
    if np.mean(known) < LEAST_KNOWN or not SMALLEST < drawn.mean() < LARGEST:
        return None
    grey = np.asarray(image, "float32").mean(axis=-1)
    grey = np.where(known, grey, grey[known].mean())
    grey = cv2.GaussianBlur(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    edges = np.hypot(*np.gradient(grey))
    deviation = edges.std()
    around = np.ones((3, 3), "uint8")
    outline = (cv2.dilate(drawn, around) - cv2.erode(drawn, around)).astype("float32")
    outline[[0, -1]] = outline[:, [0, -1]] = 0  # where the tile ends, not the landslide
    if outline.sum() < 8 or not np.isfinite(deviation) or deviation <= 1e-6 * np.abs(grey).max():
        return None
    # What is put over the rim finds nothing there.
    strength = np.pad((edges - edges.mean()) / deviation, REACH_PX)
    inside = np.pad(np.ones_like(edges), REACH_PX)
    fits = []
    for flip, turns in orientations:
        put = np.rot90(outline[:, ::-1] if flip else outline, turns).copy()
        total, count = (cv2.matchTemplate(a, put, cv2.TM_CCORR) for a in (strength, inside))
        fits.append(total / np.maximum(count, 0.5 * outline.sum()))
    return np.stack(fits)


def alignment_warnings(fits) -> list[str]:
    """A warning where masks fit their images better turned, mirrored or shifted, else [].

    `fits` are those of `mask_fit`, one a tile; a None is left out.

    >>> alignment_warnings([None] * 30)
    []
    """
    fits = [fit for fit in fits if fit is not None]
    if len(fits) < LEAST_TILES:
        return []
    fits = np.stack(fits)
    mean = fits.mean(axis=0)
    in_place = np.zeros(mean.shape, bool)
    in_place[0, NEAR, NEAR] = True
    here = np.unravel_index(np.where(in_place, mean, -np.inf).argmax(), mean.shape)
    best = np.unravel_index(np.where(in_place, -np.inf, mean).argmax(), mean.shape)
    better = fits[:, *best] - fits[:, *here]
    error = better.std(ddof=1) / np.sqrt(len(better))
    if better.mean() < max(BETTER, SURE * error):
        return []
    kind, (down, right) = int(best[0]), (int(i) - REACH_PX for i in best[1:])
    moves = [WORDS[kind]] if kind else []
    for pixels, words in ((down, ("down", "up")), (right, ("right", "left"))):
        if abs(pixels) > NEAR_PX:
            share = abs(pixels) / SIDE_PX
            moves.append(f"shifted {words[pixels < 0]} by {share:.0%} of a tile")
    return [_misplaced(len(fits), " and ".join(moves))]


def _misplaced(count: int, moves: str) -> str:
    return (
        f"the masks look misplaced: over {count} tiles their outlines fit the images better "
        f"when {moves}; look at some tiles in a GIS, and make the masks again"
    )


def scene_alignment_warnings(
    size, read_image, read_labels, tile_px: int = SCENE_TILE_PX
) -> list[str]:
    """The warning of `alignment_warnings` about a scene and the mask of it, else [].

    Tiles from all over the scene are compared with the mask in its place, and with the whole mask
    turned or mirrored.

    Args:
        size: (H, W) of the scene, pixels.
        read_image: a function from rows and columns (top, left, bottom, right) to the `Raster`
            there; None where it cannot be read.
        read_labels: the same for the mask, landslide where not 0.
        tile_px: side of the tiles.

    >>> from landslide_tf.data.raster import Raster
    >>> def read(box):
    ...     return Raster(np.zeros((box[2] - box[0], box[3] - box[1], 1)), np.ones((1, 1), bool))
    >>> scene_alignment_warnings((512, 512), read, read)
    []
    """
    starts = [range(0, n - tile_px + 1, tile_px) for n in size]
    corners = np.array([(top, left) for top in starts[0] for left in starts[1]], int)
    corners = np.random.default_rng(0).permutation(corners)[:SCENE_TILES].tolist()
    best, words, at_rest = 0.0, "", None
    for kind, (across, down, right) in enumerate(TURNS):
        if across and size[0] != size[1]:
            continue
        fits = []
        for top, left in corners:
            box = top, left, top + tile_px, left + tile_px
            labels, known = _turned(read_labels, box, size, (across, down, right))
            if not SMALLEST < labels.mean() < LARGEST or (image := read_image(box)) is None:
                continue
            fit = mask_fit(image.values, labels, image.valid & known, ORIENTATIONS[:1])
            fits += [] if fit is None else [fit]
            if len(fits) == SCENE_FITS:
                break
        if len(fits) < LEAST_TILES:
            continue
        here = np.stack([fit[0, NEAR, NEAR].ravel() for fit in fits])
        here = here[:, here.mean(axis=0).argmax()]
        if kind == 0:
            at_rest, stays = fits, here
        elif at_rest is not None:
            error = np.hypot(*(h.std(ddof=1) / np.sqrt(len(h)) for h in (here, stays)))
            better = here.mean() - stays.mean()
            if better > max(best, BETTER, SURE * error):
                best, words = better, _misplaced(len(fits), WORDS[kind])
    return [words] if words else alignment_warnings(at_rest or [])


def _turned(read_labels, box, size, turn) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and where they are known, (h, w), in a box of the mask turned as a whole."""
    (top, left, bottom, right), (across, flip_rows, flip_columns) = box, turn
    if flip_rows:
        top, bottom = size[0] - bottom, size[0] - top
    if flip_columns:
        left, right = size[1] - right, size[1] - left
    raster = read_labels((left, top, right, bottom) if across else (top, left, bottom, right))
    return tuple(turned(array, *turn) for array in (raster.values[..., 0] != 0, raster.valid))
