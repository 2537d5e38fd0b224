"""All tiles of a data set as arrays, from their folder or from a pack file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.data.decode import FORMAT, array_shapes, decode
from landslide_tf.data.index import find_samples
from landslide_tf.data.tile import read_file
from landslide_tf.files import atomic_path


@dataclass(frozen=True)
class Tiles:
    """N tiles of one size. `rgb` is in [0, 1]; the DEM is in metres, not normalised.

    >>> tiles = load_tiles("tiles", TrainConfig(data="tiles", tile_px=32))
    >>> tiles.rgb.shape, tiles.mask.shape, tiles.names[:2]
    ((12, 32, 32, 3), (12, 32, 32), ('a000', 'a002'))
    """

    names: tuple[str, ...]
    negative: np.ndarray  # (N,) bool: from non-landslide/
    has_dem: np.ndarray  # (N,) bool
    place: np.ndarray  # (N, 3) float64: centre x, y and side in units of the CRS, or NaN
    files: dict[str, dict[str, str]]  # name -> kind -> SHA-256
    terrain_names: tuple[str, ...]
    rgb: np.ndarray  # (N, H, W, 3) float32
    dem: np.ndarray  # (N, H, W) float32; 0 where there is none
    terrain: np.ndarray  # (N, H, W, T) float32
    mask: np.ndarray  # (N, H, W) uint8
    image_valid: np.ndarray  # (N, H, W) bool: the image has data
    input_valid: np.ndarray  # (N, H, W) bool: image and DEM have data
    valid: np.ndarray  # (N, H, W) bool: all files have data
    nodata: float | None = None  # the options they were read with
    rgb_scale: float | None = None
    bands: tuple[int, int, int] | None = None
    skipped: tuple[str, ...] = ()  # a line for each file or tile left out (skip_bad)

    def __len__(self) -> int:
        return len(self.names)

    def indices(self, names) -> np.ndarray:
        """Positions of the tiles called `names`."""
        position = {name: i for i, name in enumerate(self.names)}
        return np.array([position[name] for name in names], "int64")

    @property
    def sha256(self) -> str:
        """One digest for all files of the data set, independent of where it lies."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


def load_tiles(data, config: TrainConfig, *, cache=None) -> Tiles:
    """Tiles of a folder or of a file written by `pack_tiles`, each decoded once.

    They are kept in memory, or as memory-mapped files in the folder `cache`, where a later call
    with the same files and options finds them.

    Raises:
        InputError: a missing or empty folder, bad or incomplete tiles (unless
            `config.skip_bad`), tiles without a DEM where the fusion needs one, too little memory.

    >>> tiles = load_tiles("tiles", TrainConfig(data="tiles", tile_px=16))
    >>> len(tiles.names), tiles.dem.shape
    (12, (12, 16, 16))
    """
    data = Path(data)
    tiles = _load_pack(data, config) if data.is_file() else _load_folder(data, config, cache)
    missing = int(np.sum(~tiles.has_dem))
    if config.fusion != "rgb" and missing:
        raise InputError(
            f"{data}: {missing} of {len(tiles)} tiles have no DEM, which --fusion {config.fusion} "
            "needs; add dem/NAME.*, or use --fusion rgb"
        )
    return tiles


def ground_resolution_m(data, config: TrainConfig) -> float | None:
    """Metres a pixel of the model's input covers on the ground, the median over a few tiles.

    None where the files carry no georeference, and for a pack.

    >>> from landslide_tf.geo.cut import cut_scene
    >>> _ = cut_scene("scene.tif", "landslides.geojson", "cut", tile_px=32)
    >>> ground_resolution_m("cut", TrainConfig(tile_px=16))  # 32 pixels of 2 m become 16
    4.0
    """
    if not Path(data).is_dir():
        return None
    samples = find_samples(data, negatives=config.negatives, need_mask=False).samples
    known = []
    for i in np.unique(np.linspace(0, len(samples) - 1, 9).astype(int)):
        image = read_file(samples[i], "image", config)
        metres = image.resolution_m()
        if metres:  # the tile is resized to `tile_px`
            known.append(np.mean(np.multiply(metres, image.size)) / config.tile_px)
    return float(np.median(known)) if known else None


def _load_folder(folder, config, cache) -> Tiles:
    index = find_samples(folder, negatives=config.negatives)
    problems = list(index.unpaired)
    if problems and not config.skip_bad:
        raise InputError(_summary(problems, index.root))
    samples = index.samples
    arrays, facts = decode(samples, config, folder, cache)
    bad = {name: fact["error"] for name, fact in facts.items() if "error" in fact}
    if bad and not config.skip_bad:
        raise InputError(_summary(list(bad.values()), index.root))
    good = [i for i, sample in enumerate(samples) if sample.name not in bad]
    if not good:
        raise InputError(f"{index.root}: not one usable tile ({next(iter(bad.values()))})")
    if bad:
        arrays = {name: array[good] for name, array in arrays.items()}
    samples = [samples[i] for i in good]
    return Tiles(
        names=tuple(sample.name for sample in samples),
        negative=np.array([sample.negative for sample in samples], bool),
        has_dem=np.array([sample.dem is not None for sample in samples], bool),
        place=np.array(
            [facts[s.name]["place"] or (np.nan, np.nan, np.nan) for s in samples], "float64"
        ),
        files={sample.name: facts[sample.name]["files"] for sample in samples},
        terrain_names=config.terrain,
        nodata=config.nodata,
        rgb_scale=config.rgb_scale,
        bands=config.bands,
        skipped=tuple(problems + list(bad.values())),
        **arrays,
    )


def _summary(problems: list[str], root) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (
        f"{problems[0]}{more}; mend or remove it, see 'landslide data check {root}', "
        "or leave such tiles out with --skip-bad"
    )


def pack_tiles(tiles: Tiles, path, *, rgb_uint8: bool = False) -> None:
    """Write tiles to one compressed .npz, atomically; `load_tiles` reads it like the folder.

    `rgb_uint8` rounds the resized RGB to 256 steps: a third of the size, within 0.002 of the
    exact values.

    >>> config = TrainConfig(data="tiles", tile_px=32)
    >>> pack_tiles(load_tiles("tiles", config), "tiles.npz")
    >>> load_tiles("tiles.npz", config).rgb.shape
    (12, 32, 32, 3)
    """
    path = Path(path)
    arrays = {name: getattr(tiles, name) for name in array_shapes(0, TrainConfig(), 0)}
    if rgb_uint8:
        arrays["rgb"] = np.round(np.clip(tiles.rgb, 0, 1) * 255).astype("uint8")
    facts = {
        "format": FORMAT,
        "files": tiles.files,
        "terrain": tiles.terrain_names,
        "nodata": tiles.nodata,
        "rgb_scale": tiles.rgb_scale,
        "bands": tiles.bands,
    }
    with atomic_path(path) as scratch, open(scratch, "wb") as file:
        np.savez_compressed(
            file,
            facts=json.dumps(facts),
            names=np.array(tiles.names),
            negative=tiles.negative,
            has_dem=tiles.has_dem,
            place=tiles.place,
            **arrays,
        )


def packed_tiles(path) -> int:
    """How many tiles a pack holds, without loading them.

    Raises:
        InputError: it is none.

    >>> pack_tiles(load_tiles("tiles", TrainConfig(data="tiles", tile_px=32)), "tiles.npz")
    >>> packed_tiles("tiles.npz")
    12
    """
    try:
        with np.load(path, allow_pickle=False) as pack:
            return len(pack["names"])
    except Exception as error:  # as in `_load_pack`
        raise _not_a_pack(path, error) from None


def _not_a_pack(path, error: Exception) -> InputError:
    return InputError(
        f"{path}: is not a pack of tiles ({type(error).__name__}); "
        "make one with 'landslide data pack DIR OUT.npz'"
    )


def _load_pack(path: Path, config: TrainConfig) -> Tiles:
    try:
        with np.load(path, allow_pickle=False) as pack:
            arrays = {name: pack[name] for name in pack.files}
        facts = json.loads(str(arrays.pop("facts")))
        format_ = facts["format"]
        missing = {"names", *array_shapes(0, config, 0)} - set(arrays)
        if missing:
            raise KeyError(*missing)
    except Exception as error:  # zip, zlib, pickle, json and NumPy each raise their own
        raise _not_a_pack(path, error) from None
    if format_ != FORMAT:
        raise InputError(f"{path}: has format {format_}, expected {FORMAT}; pack it again")
    if arrays["rgb"].shape[1] != config.tile_px:
        px = arrays["rgb"].shape[1]
        raise InputError(
            f"{path}: holds tiles of {px} px, --tile-px is {config.tile_px}; "
            f"pack the folder again or use --tile-px {px}"
        )
    if tuple(facts["terrain"]) != config.terrain:
        raise InputError(
            f"{path}: has terrain channels {facts['terrain']}, asked for {list(config.terrain)}; "
            "pack the folder again with --terrain"
        )
    facts["bands"] = facts.get("bands") and tuple(facts["bands"])
    for name in ("nodata", "rgb_scale", "bands"):
        if getattr(config, name) != facts[name]:
            raise InputError(
                f"{path}: was packed with --{name.replace('_', '-')} {facts[name]}, asked for "
                f"{getattr(config, name)}; pack the folder again, or leave it as it was packed"
            )
    if arrays["rgb"].dtype == np.uint8:
        arrays["rgb"] = arrays["rgb"].astype("float32") / np.float32(255)
    names = tuple(str(name) for name in arrays.pop("names"))
    tiles = Tiles(
        names=names,
        files=facts["files"],
        terrain_names=config.terrain,
        nodata=config.nodata,
        rgb_scale=config.rgb_scale,
        bands=config.bands,
        **arrays,
    )
    if config.negatives and not tiles.negative.any():
        raise InputError(f"{path}: was packed without negatives; pack with --negatives")
    return tiles if config.negatives else take(tiles, np.flatnonzero(~tiles.negative))


def take(tiles: Tiles, indices) -> Tiles:
    """The tiles at `indices`, as a data set of their own.

    >>> tiles = load_tiles("tiles", TrainConfig(data="tiles", tile_px=32))
    >>> take(tiles, [0, 2]).names
    ('a000', 'a004')
    """
    fields = {name: getattr(tiles, name)[indices] for name in array_shapes(0, TrainConfig(), 0)}
    names = tuple(tiles.names[i] for i in indices)
    return Tiles(
        names=names,
        negative=tiles.negative[indices],
        has_dem=tiles.has_dem[indices],
        place=tiles.place[indices],
        files={name: tiles.files[name] for name in names},
        terrain_names=tiles.terrain_names,
        nodata=tiles.nodata,
        rgb_scale=tiles.rgb_scale,
        bands=tiles.bands,
        skipped=tiles.skipped,
        **fields,
    )
