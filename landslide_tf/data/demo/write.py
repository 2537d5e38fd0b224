"""Scenes cut into georeferenced tiles and written to disk."""

import os
import shutil
import string
import sys
import uuid
from pathlib import Path

import numpy as np
import rasterio

from landslide_tf.checks import InputError
from landslide_tf.console import progress_bar
from landslide_tf.data.demo.scene import MAX_SEED, MAX_SIZE_PX, MIN_SIZE_PX, demo_scene
from landslide_tf.data.raster import Raster, write_geotiff
from landslide_tf.fields import check_number
from landslide_tf.files import atomic_path

VERSION = 1  # raise when the terrain changes: the cached copy is then made anew
CRS = "EPSG:32648"
NODATA = -9999.0
RESOLUTION_M = 10.0
LEAST_SHARE = 0.01  # of landslide pixels in a landslide tile; with fewer, but some, it is left out
TILE_PX, SCENE_PX = 96, 672
LETTERS = string.ascii_uppercase  # of the scenes that a seed has


def demo_folder() -> Path:
    """The folder of the built-in demo set; written when it is first asked for.

    It lies below `$LANDSLIDE_CACHE`, else the user's cache folder.

    >>> sorted(path.name for path in demo_folder().iterdir() if path.is_dir())
    ['landslide', 'non-landslide']
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("LANDSLIDE_CACHE") or home) / "landslide_tf" / f"demo-{VERSION}"
    if not folder.is_dir():
        print(f"making the demo terrain in {folder}", file=sys.stderr, flush=True)
        try:
            write_demo(folder)
        except OSError as error:
            if folder.is_dir():  # another process made it meanwhile
                return folder
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
    tile_px: int = TILE_PX,
    scene_px: int = SCENE_PX,
    negatives: int = 60,
) -> int:
    """Write a demo data set of georeferenced tiles in the layout of the Bijie data set.

    Non-overlapping tiles are cut from several scenes that lie apart from each other on the ground:
    `landslide/{image,dem,mask}/NAME.tif` where landslides cover at least 1 % of the tile, and
    `non-landslide/{image,dem}/NAME.tif` for some tiles with no landslide pixel. NAME is
    `demoA_ROW_COL`, with the letter of the scene and the tile's place in it, so that a name prefix
    tells the scenes apart. Images are uint8 (3 bands, RGB), elevations float32 in metres (nodata
    -9999), masks uint8 of 0 and 1; all GeoTIFF in EPSG:32648 with pixels of 10 m. The folder
    appears only once it is complete.

    Args:
        folder: where to write; must not exist, or be empty.
        seed: integer >= 0; the same arguments give the same files.
        scenes: number of scenes, 1 to 26.
        tile_px: height and width of a tile in pixels, 16 to `scene_px`.
        scene_px: height and width of a scene in pixels, 64 to 2048.
        negatives: largest number of tiles without landslides, spread over the scenes.

    Returns:
        The number of landslide tiles written.

    Raises:
        landslide_tf.checks.InputError: `folder` is in use, an argument is out of range, or no tile
            has enough landslides. `folder` is left as it was.

    >>> write_demo("demo", scenes=1, scene_px=96, tile_px=48)
    4
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; name a new folder or remove it first")
    check_number("scenes", scenes, low=1, high=len(LETTERS), whole=True)
    check_number("scene_px", scene_px, low=MIN_SIZE_PX, high=MAX_SIZE_PX, whole=True)
    check_number("tile_px", tile_px, low=16, high=scene_px, whole=True)
    check_number("negatives", negatives, low=0, whole=True)
    check_number("seed", seed, low=0, high=MAX_SEED, whole=True)
    # A hidden sibling is on the same disk, so that the final rename is one step.
    partial = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}-partial")
    partial.mkdir(parents=True)
    try:
        count = 0
        for k in progress_bar(range(scenes), "demo scenes"):
            scene = demo_scene(scene_px, _scene_seed(seed, k), RESOLUTION_M)
            quota = negatives * (k + 1) // scenes - negatives * k // scenes
            count += _write_tiles(partial, scene, k, tile_px, quota)
        if count == 0:
            raise InputError(
                f"no landslide tile in {scenes} scenes of {scene_px} pixels; "
                "raise `scenes` or `scene_px`"
            )
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def write_demo_scene(folder, *, seed: int = 0, size_px: int = SCENE_PX) -> None:
    """Write one demo scene as a user would have it: `scene.tif`, `dem.tif`, `landslides.gpkg`.

    It is none of those that `write_demo` cuts its tiles from with the same seed. Image uint8 RGB,
    elevation float32 in metres, landslides as polygons; all in EPSG:32648.

    Raises:
        landslide_tf.checks.InputError: `folder` holds one of the files, or an argument is out of
            range.

    >>> write_demo_scene("demo", size_px=64)
    >>> sorted(path.name for path in Path("demo").iterdir())
    ['dem.tif', 'landslides.gpkg', 'scene.tif']
    """
    import geopandas
    from rasterio.features import shapes
    from shapely.geometry import shape

    folder = Path(folder)
    paths = [folder / name for name in ("scene.tif", "dem.tif", "landslides.gpkg")]
    for path in paths:
        if path.exists():
            raise InputError(f"{path}: exists; name another folder, or remove it first")
    scene = demo_scene(size_px, _scene_seed(seed, len(LETTERS) - 1), RESOLUTION_M)
    like = _place(300_000, 3_200_000)
    folder.mkdir(parents=True, exist_ok=True)
    outlines = [shape(s) for s, _ in shapes(scene.mask, scene.mask > 0, 8, like.transform)]
    write_geotiff(paths[0], scene.image, like)
    write_geotiff(paths[1], scene.dem, like, NODATA)
    with atomic_path(paths[2]) as scratch:
        frame = geopandas.GeoDataFrame({"id": range(len(outlines))}, geometry=outlines, crs=CRS)
        frame.to_file(scratch, layer="landslides")


def write_demo_tile(folder) -> None:
    """Write `image.tif` and `dem.tif`: the tile of the demo scene that has most landslides."""
    scene = demo_scene(SCENE_PX, _scene_seed(0, len(LETTERS) - 1), RESOLUTION_M)
    starts = range(0, SCENE_PX, TILE_PX)
    tiles = [np.s_[y : y + TILE_PX, x : x + TILE_PX] for y in starts for x in starts]
    tile = max(tiles, key=lambda tile: scene.mask[tile].sum())
    like = _place(300_000, 3_200_000, tile[0].start, tile[1].start)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_geotiff(Path(folder) / "image.tif", scene.image[tile], like)
    write_geotiff(Path(folder) / "dem.tif", scene.dem[tile], like, NODATA)


def _scene_seed(seed, number):
    """The seed of one scene of a set; no two sets have a scene in common."""
    return len(LETTERS) * seed + number


def _place(west, north, row=0, column=0) -> Raster:
    """The georeference of a part of a scene, as `write_geotiff` takes it."""
    step = RESOLUTION_M
    transform = rasterio.Affine(step, 0, west + column * step, 0, -step, north - row * step)
    return Raster(None, None, CRS, transform)


def _write_tiles(root, scene, number, tile_px, quota):
    """Cut scene `number` into tiles and write them under `root`; returns the landslide tiles."""
    size = scene.mask.shape[0]
    # Six scenes a row, with a gap of a quarter scene.
    pitch = 1.25 * size * RESOLUTION_M
    corner = 200_000 + number % 6 * pitch, 3_300_000 - number // 6 * pitch
    count = 0
    for row in range(size // tile_px):
        for column in range(size // tile_px):
            y, x = row * tile_px, column * tile_px
            image, dem, mask = (a[y : y + tile_px, x : x + tile_px] for a in scene)
            share = mask.mean()
            if 0 < share < LEAST_SHARE or (share == 0 and quota == 0):
                continue
            name = f"demo{LETTERS[number]}_{row:02d}_{column:02d}.tif"
            folder = root / ("landslide" if share else "non-landslide")
            files = [("image", image, None), ("dem", dem, NODATA)]
            if share:
                count += 1
                files.append(("mask", mask, None))
            else:
                quota -= 1
            for kind, values, nodata in files:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                write_geotiff(folder / kind / name, values, _place(*corner, y, x), nodata)
    return count
