"""What a model's input is made of: bands, brightness, no data, size, elevation, channels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from landslide_tf.checks import InputError, check_choice, check_multiple
from landslide_tf.fields import check_number, make_plain, option
from landslide_tf.files import read_json, write_json

FUSIONS = ("early", "bottleneck", "rgb")
DEM_NORMALISATIONS = ("relief", "zscore", "dataset")
TERRAIN = ("slope", "hillshade")
FILE_NAME = "input.json"
# No data in the files of four raw bands that `data stack` writes and the ONNX file for QGIS reads.
STACK_NODATA = -32768.0
NO_DATA_BELOW = -9000.0  # the ONNX file for QGIS takes lower values, such as -9999, for no data


def check_image_type(dtype) -> None:
    """Raise `InputError` for integers of more than 16 bits, whose highest value no image reaches.

    >>> check_image_type("uint16")
    >>> check_image_type("int64")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: int64 image does not say which value becomes 1; give uint8 ...
    """
    if str(dtype).removeprefix("u") in ("int32", "int64"):
        raise InputError(
            f"{dtype} image does not say which value becomes 1; give uint8 or uint16, or "
            "--rgb-scale, that value"
        )


@dataclass(frozen=True)
class InputSpec:
    """How rasters become the input (H, W, C) of a model. `Preprocessor` carries it out.

    A run folder and every export hold it as `input.json`, with everything resolved: the brightness
    of a data set that has its own scale, the bands that were read, the elevation statistics of the
    training part. The fields are also options of `landslide train`, whose help explains each.

    Raises:
        InputError: a value is not legal; the message lists what is.

    >>> InputSpec(terrain=("slope",)).channel_names
    ('red', 'green', 'blue', 'dem', 'slope')
    >>> InputSpec(tile_px=100)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: height and width must be divisible by 16. ...
    """

    tile_px: int = option(128, "tiles are resized to this many pixels a side", group="data")
    fusion: str = option(
        "early",
        "where RGB and DEM meet: stacked at the input, two encoders, or no DEM at all",
        group="model",
        choices=FUSIONS,
    )
    bands: tuple[int, int, int] | None = option(
        None,
        "bands of the image files that are red, green and blue, counted from 1; default: the "
        "three that there are, 4,3,2 of Landslide4Sense",
        group="data",
        metavar="R,G,B",
    )
    rgb_scale: float | None = option(
        None,
        "image value that becomes 1.0; default: the highest of the integer type, 1 for float, "
        "3000 for Landslide4Sense",
        group="data",
        metavar="V",
    )
    nodata: tuple[float, ...] = option(
        (),
        "these values are no data in images and DEMs (masks keep them); --nodata=-9999,-32768",
        group="data",
        metavar="V[,V]",
    )
    dem_normalisation: str = option(
        "relief",
        "DEM to [0, 1] per tile, to z-scores per tile, or by statistics of the training part",
        group="data",
        choices=DEM_NORMALISATIONS,
    )
    terrain: tuple[str, ...] = option(
        (), "further channels from the DEM: slope, hillshade", group="data", metavar="NAME[,NAME]"
    )
    resolution_m: float | None = option(
        None,
        "metres per image pixel, for --terrain where tiles carry no georeference",
        group="data",
        metavar="M",
    )
    # Mean and deviation of the training part's elevation in metres, for 'dataset'. No option.
    dem_statistics: tuple[float, float] | None = None

    def __post_init__(self):
        make_plain(self)
        check_number("tile_px", self.tile_px, low=1, whole=True)
        check_multiple(self.tile_px, self.tile_px)
        check_choice("fusion", self.fusion, FUSIONS)
        check_choice("dem_normalisation", self.dem_normalisation, DEM_NORMALISATIONS)
        for name in ("resolution_m", "rgb_scale"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0)
        nodata = () if self.nodata is None else self.nodata
        nodata = nodata if isinstance(nodata, tuple) else (nodata,)
        object.__setattr__(self, "nodata", nodata)
        for value in self.nodata:
            check_number("nodata", value)
        if not isinstance(self.terrain, tuple):
            raise InputError(f"`terrain` must be a list of {TERRAIN}. Received: {self.terrain!r}")
        for name in self.terrain:
            check_choice("terrain", name, TERRAIN)
        if len(set(self.terrain)) != len(self.terrain):
            raise InputError(f"`terrain` names a channel twice. Received: {self.terrain}")
        if self.terrain and self.fusion == "rgb":
            raise InputError("`terrain` needs the DEM: use it with fusion 'early' or 'bottleneck'")
        if self.bands is not None:
            if not isinstance(self.bands, tuple) or len(self.bands) != 3:
                raise InputError(f"`bands` must be three numbers. Received: {self.bands!r}")
            for band in self.bands:
                check_number("bands", band, low=1, whole=True)

    @property
    def uses_dem(self) -> bool:
        """Whether the model reads elevation."""
        return self.fusion != "rgb"

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the input's channels, in order."""
        rgb = ("red", "green", "blue")
        return (*rgb, "dem", *self.terrain) if self.uses_dem else rgb

    @property
    def channels(self) -> int:
        """Channels of the input tensor."""
        return len(self.channel_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of the input of one tile."""
        return self.tile_px, self.tile_px, self.channels

    def describe(self) -> dict[str, str | None]:
        """The contract in words, for a model card."""
        brightest = (
            f"{self.rgb_scale:g}"
            if self.rgb_scale
            else "the highest value of the integer type (255, 65535), 1 for float images"
        )
        how = {
            "relief": "(z - lowest) / (highest - lowest) of the tile's pixels with data",
            "zscore": "(z - mean) / deviation of the tile's pixels with data",
            "dataset": "(z - {:.3f}) / {:.3f}, the training part's mean and deviation in metres",
        }[self.dem_normalisation]
        return {
            "rgb": f"divided by {brightest}, clipped to [0, 1]",
            "dem": how.format(*(self.dem_statistics or (0, 1))) if self.uses_dem else None,
            "no_data": "all channels are 0 where image or DEM has no data",
        }

    def to_dict(self) -> dict:
        """Plain values, as in `input.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> InputSpec:
        """The inverse of `to_dict`; keys left out take their defaults."""
        for key in values:
            check_choice("option", key, [f.name for f in dataclasses.fields(cls)])
        return cls(**values)

    def save(self, folder) -> None:
        """Write `input.json` in a folder."""
        write_json(Path(folder) / FILE_NAME, self.to_dict())

    @classmethod
    def load(cls, folder) -> InputSpec:
        """Read `input.json` of a run folder or an export.

        Raises:
            InputError: it is missing or damaged.
        """
        path = Path(folder) / FILE_NAME
        repair = "restore it, or train the run again"
        content = read_json(path, repair)
        try:
            return cls.from_dict(content)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: is damaged ({error}); {repair}") from None
