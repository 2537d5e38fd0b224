"""Scenes cut into georeferenced tiles and written to disk."""

import os
import shutil
import string
import sys
import uuid
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from tqdm import tqdm

from landslide_tf.checks import InputError
from landslide_tf.data.demo.scene import (
    MAX_SEED,
    MAX_SIZE_PX,
    MIN_SIZE_PX,
    RESOLUTION_RANGE,
    check_range,
    demo_scene,
)
from landslide_tf.files import atomic_path

VERSION = 1  # raise when the terrain changes: the cached copy is then made anew
CRS = "EPSG:32648"
NODATA = -9999.0


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
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_demo(folder, scenes=1, scene_px=96, tile_px=48, progress=False)
        4
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; name a new folder or remove it first")
    check_range("scenes", scenes, 1, len(string.ascii_uppercase))
    check_range("scene_px", scene_px, MIN_SIZE_PX, MAX_SIZE_PX)
    check_range("tile_px", tile_px, 16, scene_px)
    check_range("resolution_m", resolution_m, *RESOLUTION_RANGE)
    check_range("min_share", min_share, 1e-6, 1)
    check_range("negatives", negatives, 0, 10**6)
    check_range("seed", seed, 0, MAX_SEED)
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


def write_demo_scene(
    folder, *, seed: int = 0, size_px: int = 672, resolution_m: float = 10.0
) -> None:
    """Write one demo scene as a user would have it: `scene.tif`, `dem.tif`, `landslides.gpkg`.

    It is none of those that `write_demo` cuts its tiles from with the same seed. Image uint8 RGB,
    elevation float32 in metres, landslides as polygons; all in EPSG:32648.

    Raises:
        landslide_tf.checks.InputError: `folder` holds one of the files, or an argument is out of
            range.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_demo_scene(folder, size_px=64)
        >>> sorted(path.name for path in folder.iterdir())
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
    number = len(string.ascii_uppercase) - 1  # the last scene of the seed: six are cut into tiles
    scene = demo_scene(size_px, 26 * seed + number, resolution_m)
    transform = rasterio.Affine(resolution_m, 0, 300_000, 0, -resolution_m, 3_200_000)
    folder.mkdir(parents=True, exist_ok=True)
    outlines = [shape(s) for s, _ in shapes(scene.mask, scene.mask > 0, 8, transform)]
    with atomic_path(paths[0]) as scratch:
        _write_tiff(scratch, scene.image.transpose(2, 0, 1), transform, None)
    with atomic_path(paths[1]) as scratch:
        _write_tiff(scratch, scene.dem[None], transform, NODATA)
    with atomic_path(paths[2]) as scratch:
        frame = geopandas.GeoDataFrame({"id": range(len(outlines))}, geometry=outlines, crs=CRS)
        frame.to_file(scratch, layer="landslides")


def write_demo_tile(folder, *, size_px: int = 96, resolution_m: float = 10.0) -> None:
    """Write `image.tif` and `dem.tif`: the tile of the demo scene that has most landslides.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_demo_tile(folder)
        >>> sorted(path.name for path in folder.iterdir())
        ['dem.tif', 'image.tif']
    """
    scene = demo_scene(7 * size_px, len(string.ascii_uppercase) - 1, resolution_m)
    corners = [
        (y, x) for y in range(0, 7 * size_px, size_px) for x in range(0, 7 * size_px, size_px)
    ]
    y, x = max(corners, key=lambda at: scene.mask[at[0] :, at[1] :][:size_px, :size_px].sum())
    image, dem, _ = (a[y : y + size_px, x : x + size_px] for a in scene)
    transform = rasterio.Affine(resolution_m, 0, 300_000, 0, -resolution_m, 3_200_000)
    transform = transform @ rasterio.Affine.translation(x, y)
    Path(folder).mkdir(parents=True, exist_ok=True)
    _write_tiff(Path(folder) / "image.tif", image.transpose(2, 0, 1), transform, None)
    _write_tiff(Path(folder) / "dem.tif", dem[None], transform, NODATA)


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
    # in memory first, as `landslide_tf.data.raster.write_geotiff` does
    with MemoryFile() as memory:
        with memory.open(
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
        Path(path).write_bytes(memory.getbuffer())
