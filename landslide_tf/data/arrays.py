"""All tiles of a data set as arrays, from their folder or from a pack file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data import landslide4sense
from landslide_tf.data.alignment import alignment_warnings, looked_at, mask_fit
from landslide_tf.data.decode import FORMAT, array_shapes, decode
from landslide_tf.data.index import Sample, find_samples
from landslide_tf.data.plausible import LEAST_MASKS, group_warnings, share_warnings
from landslide_tf.data.tile import read_file
from landslide_tf.files import atomic_path
from landslide_tf.inputs.spec import InputSpec

# Options that a pack file fixes: to use other values, the folder must be packed again.
PACKED = ("bands", "rgb_scale", "nodata", "terrain")


@dataclass(frozen=True)
class Tiles:
    """N tiles of one size. `rgb` is in [0, 1]; the DEM is in metres, not normalised.

    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> tiles.rgb.shape, tiles.mask.shape, tiles.names[:2]
    ((12, 32, 32, 3), (12, 32, 32), ('a000', 'a002'))
    """

    spec: InputSpec  # resolved but for `dem_statistics`, which depend on the training part
    names: tuple[str, ...]
    negative: np.ndarray  # (N,) bool: from non-landslide/
    has_dem: np.ndarray  # (N,) bool
    place: np.ndarray  # (N, 3) float64: centre x, y and side in units of the CRS, or NaN
    files: dict[str, dict[str, str]]  # name -> kind -> SHA-256
    rgb: np.ndarray  # (N, H, W, 3) float32
    dem: np.ndarray  # (N, H, W) float32; 0 where there is none
    terrain: np.ndarray  # (N, H, W, T) float32
    mask: np.ndarray  # (N, H, W) uint8
    image_valid: np.ndarray  # (N, H, W) bool: the image has data
    input_valid: np.ndarray  # (N, H, W) bool: image and DEM have data
    valid: np.ndarray  # (N, H, W) bool: all files have data
    skipped: tuple[str, ...] = ()  # a line for each file or tile left out (skip_bad)
    warnings: tuple[str, ...] = ()  # what is odd about the files, alike ones in one line

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<{len(self)} tiles of {self.spec.tile_px} px>"

    def indices(self, names) -> np.ndarray:
        """Positions of the tiles called `names`."""
        position = {name: i for i, name in enumerate(self.names)}
        return np.array([position[name] for name in names], "int64")

    @property
    def sha256(self) -> str:
        """One digest for all files of the data set, independent of where it lies."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


def load_tiles(
    data: str | Path,
    spec: InputSpec | None = None,
    *,
    negatives: bool = False,
    skip_bad: bool = False,
    cache: str | Path | None = None,
    **options: Any,
) -> Tiles:
    """Tiles of a folder or of a file written by `pack_tiles`, each decoded once.

    They are kept in memory, or as memory-mapped files in the folder `cache`, where a later call
    with the same files and options finds them.

    Args:
        data: the folder or the pack file.
        spec: what the model's input is made of; or give its fields as `options`, for instance
            `fusion="rgb", tile_px=128`.
        negatives: also the tiles of non-landslide/.
        skip_bad: leave out tiles that cannot be used.
        cache: folder for the decoded tiles.

    Returns:
        The tiles; their `spec` is resolved: it names the bands and the brightness that were used.

    Raises:
        InputError: a missing or empty folder, bad or incomplete tiles (unless `skip_bad`), tiles
            without a DEM where the fusion needs one, too little memory.

    >>> tiles = load_tiles("tiles", tile_px=16)
    >>> len(tiles.names), tiles.dem.shape
    (12, (12, 16, 16))
    """
    spec = dataclasses.replace(spec or InputSpec(), **options)
    data = Path(data)
    if data.is_file():
        tiles = _load_pack(data, spec, negatives)
    else:
        tiles = _load_folder(data, spec, negatives, skip_bad, cache)
    missing = int(np.sum(~tiles.has_dem))
    if spec.uses_dem and missing:
        raise InputError(
            f"{data}: {missing} of {len(tiles)} tiles have no DEM, which --fusion {spec.fusion} "
            "needs; add dem/NAME.*, or use --fusion rgb"
        )
    return dataclasses.replace(tiles, warnings=(*tiles.warnings, *_masks(tiles)))


def _masks(tiles: Tiles) -> list[str]:
    """Warnings where the masks of the data set look exchanged, turned or shifted."""
    drawn = np.flatnonzero(~tiles.negative)
    chosen = drawn[sorted(looked_at(len(drawn)))]
    lines = []
    if len(drawn) >= LEAST_MASKS:
        landslide = sum(int(tiles.mask[i][tiles.valid[i]].sum()) for i in chosen)
        lines += share_warnings(landslide, sum(int(tiles.valid[i].sum()) for i in chosen))
    fits = (mask_fit(tiles.rgb[i], tiles.mask[i], tiles.valid[i]) for i in chosen)
    return [*lines, *alignment_warnings(fits)]


def resolve_spec(spec: InputSpec, samples: list[Sample]) -> InputSpec:
    """The spec, with bands and brightness filled in for a data set that has its own values.

    That is Landslide4Sense: it holds reflectance x 10000, of which 3000 becomes 1, and its bands 4,
    3 and 2 are red, green and blue. A model trained on it keeps these values in its spec, and so
    scales GeoTIFFs of the same values in the same way.

    Raises:
        InputError: Landslide4Sense files lie among others.
    """
    own = [sample.image.suffix.lower() == landslide4sense.SUFFIX for sample in samples]
    if not any(own):
        return spec
    if not all(own):
        raise InputError(
            f"{samples[own.index(False)].image}: lies among Landslide4Sense files, whose values "
            "have another scale; keep the two in folders of their own"
        )
    return dataclasses.replace(
        spec,
        bands=spec.bands or landslide4sense.RGB_BANDS,
        rgb_scale=spec.rgb_scale or landslide4sense.RGB_SCALE,
    )


def ground_resolution_m(data, spec: InputSpec) -> float | None:
    """Ground size in metres of a pixel of the model's input, the median over up to nine tiles.

    None where the files have no georeference, and for a pack file.
    """
    if not Path(data).is_dir():
        return None
    samples = find_samples(data, need_mask=False).samples
    known = []
    for i in np.unique(np.linspace(0, len(samples) - 1, 9).astype(int)):
        image = read_file(samples[i], "image", spec)
        metres = image.resolution_m()
        if metres:  # the tile is resized to `tile_px`
            known.append(np.mean(np.multiply(metres, image.size)) / spec.tile_px)
    return float(np.median(known)) if known else None


def _load_folder(folder, spec: InputSpec, negatives, skip_bad, cache) -> Tiles:
    index = find_samples(folder, negatives=negatives)
    problems = list(index.unpaired)
    if problems and not skip_bad:
        raise InputError(_summary(problems, index.root))
    samples = index.samples
    spec = resolve_spec(spec, samples)
    arrays, facts = decode(samples, spec, folder, cache)
    bad = {name: fact["error"] for name, fact in facts.items() if "error" in fact}
    if bad and not skip_bad:
        raise InputError(_summary(list(bad.values()), index.root))
    good = [i for i, sample in enumerate(samples) if sample.name not in bad]
    if not good:
        raise InputError(f"{index.root}: not one usable tile ({next(iter(bad.values()))})")
    if bad:
        arrays = {name: array[good] for name, array in arrays.items()}
    samples = [samples[i] for i in good]
    nowhere = (np.nan, np.nan, np.nan)
    return Tiles(
        spec=spec,
        names=tuple(sample.name for sample in samples),
        negative=np.array([sample.negative for sample in samples], bool),
        has_dem=np.array([sample.dem is not None for sample in samples], bool),
        place=np.array([facts[s.name]["place"] or nowhere for s in samples], "float64"),
        files={sample.name: facts[sample.name]["files"] for sample in samples},
        skipped=tuple(problems + list(bad.values())),
        warnings=tuple(group_warnings({s.name: facts[s.name]["warnings"] for s in samples})),
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

    >>> pack_tiles(load_tiles("tiles", tile_px=32), "tiles.npz")
    >>> load_tiles("tiles.npz", tile_px=32).rgb.shape
    (12, 32, 32, 3)
    """
    path = Path(path)
    arrays = {name: getattr(tiles, name) for name in array_shapes(0, tiles.spec)}
    if rgb_uint8:
        arrays["rgb"] = np.round(np.clip(tiles.rgb, 0, 1) * 255).astype("uint8")
    facts = {"format": FORMAT, "files": tiles.files, "spec": tiles.spec.to_dict()}
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
    """
    with _open_pack(path) as pack:
        return len(pack["names"])


@contextlib.contextmanager
def _open_pack(path):
    """The open pack; `InputError` where it, or what the block reads of it, is none."""
    try:
        with np.load(path, allow_pickle=False) as pack:
            yield pack
    except Exception as error:  # zip, zlib, pickle, json and NumPy each raise their own
        raise InputError(
            f"{path}: is not a pack of tiles ({type(error).__name__}); "
            "make one with 'landslide data pack DIR OUT.npz'"
        ) from None


def _load_pack(path: Path, spec: InputSpec, negatives: bool) -> Tiles:
    with _open_pack(path) as pack:
        arrays = {name: pack[name] for name in pack.files}
        facts = json.loads(str(arrays.pop("facts")))
        format_ = facts["format"]
        packed = InputSpec.from_dict(facts["spec"]) if format_ == FORMAT else None
        missing = {"names", *array_shapes(0, spec)} - set(arrays)
        if missing:
            raise KeyError(*missing)
    if packed is None:
        raise InputError(f"{path}: has format {format_}, expected {FORMAT}; pack it again")
    if packed.tile_px != spec.tile_px:
        raise InputError(
            f"{path}: holds tiles of {packed.tile_px} px, --tile-px is {spec.tile_px}; "
            f"pack the folder again or use --tile-px {packed.tile_px}"
        )
    for name in PACKED:
        asked, there = getattr(spec, name), getattr(packed, name)
        if asked not in (None, ()) and asked != there:
            raise InputError(
                f"{path}: was packed with --{name.replace('_', '-')} {there}, asked for {asked}; "
                "pack the folder again, or leave it as it was packed"
            )
    if packed.terrain and not spec.terrain:  # a model without terrain leaves the channels out
        arrays["terrain"] = arrays["terrain"][..., :0]
    if arrays["rgb"].dtype == np.uint8:
        arrays["rgb"] = arrays["rgb"].astype("float32") / np.float32(255)
    names = tuple(str(name) for name in arrays.pop("names"))
    kept = {name: getattr(packed, name) for name in ("bands", "rgb_scale", "nodata")}
    spec = dataclasses.replace(spec, **kept)
    tiles = Tiles(spec=spec, names=names, files=facts["files"], **arrays)
    if negatives and not tiles.negative.any():
        raise InputError(f"{path}: was packed without negatives; pack with --negatives")
    if negatives or not tiles.negative.any():
        return tiles
    return take(tiles, np.flatnonzero(~tiles.negative))


def take(tiles: Tiles, indices) -> Tiles:
    """The tiles at `indices`, as a data set of their own.

    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> take(tiles, [0, 2]).names
    ('a000', 'a004')
    """
    by_tile = (*array_shapes(0, tiles.spec), "negative", "has_dem", "place")
    names = tuple(tiles.names[i] for i in indices)
    return dataclasses.replace(
        tiles,
        names=names,
        files={name: tiles.files[name] for name in names},
        **{name: getattr(tiles, name)[indices] for name in by_tile},
    )
