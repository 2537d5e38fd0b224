"""The map over its image, and its errors, as pictures that a stranger understands."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from landslide_tf.data.ground import Ground
from landslide_tf.files import atomic_path
from landslide_tf.geo.reader import stretched
from landslide_tf.geo.styles import LANDSLIDE_COLOUR, PROBABILITY_STOPS, rgb
from landslide_tf.training.figures import OUTCOME_COLOURS, drawing

REFERENCE_COLOUR = "#00e5ff"  # cyan: apart from magenta and grey with any colour vision
NOTHING = 0.93  # grey of no data
# Inches: a map's longer side, the least width of a figure, the heights of the title and sources.
LONG, NARROW, HEAD, FOOT = 7.5, 5.0, 0.7, 0.42
LABEL = 0.9  # inches of an axis that a coordinate needs


@dataclass(frozen=True)
class Sheet:
    """What both pictures show: the image in grey, its place, and the words around it."""

    image: np.ndarray  # (h, w, 3), thinned out, any scale
    valid: np.ndarray  # (h, w) bool
    step: int  # scene pixels in one of the picture's
    ground: Ground
    title: str
    subtitle: str
    source: str  # last lines: files, model, date

    @functools.cached_property
    def metres(self) -> tuple[float, float]:
        """Metres of a pixel of the picture, down and across; in degrees they are not square."""
        down, across = self.ground.pixel_m(*self.ground.centre)
        return down * self.step, across * self.step

    @property
    def aspect(self) -> float:
        """Height of a pixel on the ground over its width."""
        return self.metres[0] / self.metres[1]

    def grey(self):
        """The image (h, w) from 0.1 to 0.95, stretched for the eye; `NOTHING` without data."""
        grey = np.full(self.valid.shape, NOTHING)
        if self.valid.any():
            values = self.image.astype("float64").mean(axis=-1, keepdims=True)
            share = stretched(values, self.valid)[..., 0] / 255
            grey[self.valid] = 0.1 + 0.85 * share[self.valid]
        return grey


def overview(path, sheet: Sheet, landslide, probability, threshold: float, reference=None) -> None:
    """`overview.png`: the landslides over the image, and beside them their probability.

    Args:
        landslide: (h, w) bool, where the picture's pixels hold any landslide.
        probability: (h, w) from 0 to 1, NaN without data.
        reference: (h, w) bool, landslides of the reference, where there is one.
    """
    figure, (left, right) = _figure(sheet, 2)
    grey = np.repeat(sheet.grey()[..., None], 3, axis=-1)
    tinted = _tint(grey, landslide, LANDSLIDE_COLOUR, 0.5)
    coloured = colours(probability) / 255
    opacity = coloured[..., 3:]
    for axes, picture, title in (
        (left, tinted, "Landslides mapped"),
        (right, (1 - opacity) * grey + opacity * coloured[..., :3], "Probability of landslide"),
    ):
        _draw(axes, picture, sheet, title)
    _outline(left, landslide, LANDSLIDE_COLOUR, 0.8, 0)
    legend = [_patch(LANDSLIDE_COLOUR, f"mapped: probability at least {threshold:.2f}")]
    if reference is not None:
        for axes in (left, right):
            _outline(axes, reference, REFERENCE_COLOUR, 1.1, 0.9)
        legend.append(_line(REFERENCE_COLOUR, "reference: mapped by others"))
    if not sheet.valid.all():
        legend.append(_patch(str(NOTHING), "no data"))
    _probability_bar(right, threshold)
    _finish(figure, path, legend)


def error_map(path, sheet: Sheet, outcome) -> None:
    """`errors.png`: found, false alarm and missed over the image.

    `outcome` (h, w) uint8: 0 background, 1 found, 2 false alarm, 3 missed, 255 not known.
    """
    figure, axes = _figure(sheet, 1)
    grey = sheet.grey()
    grey[outcome == 255] = NOTHING
    picture = np.repeat(grey[..., None], 3, axis=-1)
    for value, colour in enumerate(OUTCOME_COLOURS.values(), 1):
        picture = _tint(picture, outcome == value, colour, 0.75)
    _draw(axes[0], picture, sheet, "")
    legend = [_patch(colour, name) for name, colour in OUTCOME_COLOURS.items()]
    if (outcome == 255).any():
        legend.append(_patch(str(NOTHING), "not known"))
    _finish(figure, path, legend)


def _probability_bar(axes, threshold: float) -> None:
    """The colours of probability below their map, with the threshold."""
    from matplotlib.cm import ScalarMappable

    body = axes.figure
    place, high = axes.get_position(), body.bbox.height / body.get_figure(root=True).dpi
    bar = body.colorbar(
        ScalarMappable(cmap=_opaque()),
        cax=body.add_axes((place.x0, 0.28 / high, place.width, 0.12 / high)),
        orientation="horizontal",
        ticks=[0, 0.25, 0.5, 0.75, 1],
    )
    bar.ax.axvline(threshold, color="black", lw=2.5)
    bar.ax.tick_params(labelsize=8)
    bar.ax.annotate(
        f"threshold {threshold:.2f}", (threshold, 1), xytext=(0, 2), textcoords="offset points",
        ha="center", va="bottom", fontsize=8,
    )  # fmt: skip


def colours(probability):
    """Probability (h, w) in the colours that QGIS shows it in: uint8 (h, w, 4).

    >>> colours(np.array([[1.0, np.nan]])).tolist()
    [[[240, 249, 33, 255], [0, 0, 0, 0]]]
    """
    stops = np.array([share for share, _, _ in PROBABILITY_STOPS])
    table = [[*rgb(colour), alpha] for _, colour, alpha in PROBABILITY_STOPS]
    known = np.isfinite(probability)
    channels = [np.interp(np.nan_to_num(probability), stops, c) * known for c in np.array(table).T]
    return np.round(np.stack(channels, axis=-1)).astype("uint8")


def _opaque():
    """Matplotlib's colour map of `colours`, as they look over a middle grey."""
    from matplotlib.colors import ListedColormap

    rgba = colours(np.linspace(0, 1, 256)) / 255
    alpha = rgba[:, 3:]
    return ListedColormap(alpha * rgba[:, :3] + (1 - alpha) * 0.6)


def _tint(picture, where, colour, share: float):
    result = picture.copy()
    result[where] = (1 - share) * result[where] + share * np.array(rgb(colour)) / 255
    return result


def _figure(sheet: Sheet, panels: int):
    """Figure and axes: the title above, and room for legend and sources below, in inches."""
    height, width = sheet.valid.shape
    tall = height * sheet.aspect / width
    size = (LONG, LONG * tall) if tall <= 1 else (LONG / tall, LONG)
    wide, high = (
        panels * max(NARROW / panels, size[0]) + 0.5,
        max(1.5, size[1]) + (1.1 if panels > 1 else 0.65),
    )
    figure = drawing().figure(figsize=(wide, HEAD + high + FOOT))
    head, body, foot = figure.subfigures(3, 1, height_ratios=(HEAD, high, FOOT))
    left = 0.12 / wide
    head.text(left, 0.92, sheet.title, fontsize=13, fontweight="bold", va="top")
    head.text(left, 0.47, sheet.subtitle, fontsize=9.5, va="top")
    foot.text(left, 0.05, sheet.source, fontsize=7.5, color="0.35", va="bottom", linespacing=1.4)
    margins = {
        "left": 0.4 / wide,
        "right": 1 - 0.25 / wide,
        "bottom": (0.85 if panels > 1 else 0.6) / high,
        "top": 1 - (0.25 if panels > 1 else 0.05) / high,
        "wspace": 0.07,
    }
    axes = body.subplots(1, panels, squeeze=False, gridspec_kw=margins)
    return figure, axes[0]


def _draw(axes, picture, sheet: Sheet, title: str) -> None:
    height, width = picture.shape[:2]
    bytes_ = np.round(255 * picture).astype("uint8")
    axes.imshow(bytes_, interpolation="nearest", aspect=sheet.aspect)
    if title:
        axes.set_title(title, fontsize=10, loc="left")
    _coordinates(axes, sheet)
    thick = 0.011 * max(width / sheet.aspect, height)
    _scale_bar(axes, width, sheet.metres[1], thick)
    _north_arrow(axes, sheet.ground.north(), sheet.aspect)


def _outline(axes, mask, colour, line: float, rim: float) -> None:
    """A line around the parts of a mask, with a dark rim."""
    from matplotlib import patheffects

    if not mask.any():
        return
    height, width = mask.shape
    padded = np.pad(mask.astype(float), 1)
    lines = axes.contour(
        np.arange(-1, width + 1), np.arange(-1, height + 1), padded, levels=[0.5], colors=colour,
        linewidths=line,
    )  # fmt: skip
    if rim:
        stroke = patheffects.withStroke(linewidth=line + rim, foreground="#1a1a1a")
        lines.set_path_effects([stroke])
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _patch(colour, label):
    return drawing().Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="0.3", lw=0.5, label=label)


def _line(colour, label):
    from matplotlib import patheffects

    effect = [patheffects.withStroke(linewidth=3, foreground="#1a1a1a")]
    return drawing().Line2D([], [], color=colour, lw=1.6, path_effects=effect, label=label)


def _finish(figure, path, legend) -> None:
    """The legend below the maps, where it covers nothing; then the file."""
    body = figure.subfigs[1]
    columns = len(legend) if len(body.axes) == 1 else 1
    left = body.axes[0].get_position().x0
    body.legend(
        handles=legend, loc="lower left", bbox_to_anchor=(left, 0), ncols=columns, frameon=False,
        fontsize=9, borderaxespad=0, borderpad=0.2,
    )  # fmt: skip
    with atomic_path(path) as scratch:
        figure.savefig(scratch, dpi=150, pil_kwargs={"compress_level": 4})


def nice_length(metres: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 … that is not above `metres`.

    >>> nice_length(740), nice_length(0.3)
    (500.0, 0.2)
    """
    power = 10.0 ** np.floor(np.log10(metres))
    return float(max(n * power for n in (1, 2, 5) if n * power <= metres * (1 + 1e-9)))


def _coordinates(axes, sheet: Sheet) -> None:
    """Easting and northing, or degrees, at round values; none where the image is rotated."""
    t = sheet.ground.transform
    axes.set(xticks=[], yticks=[])
    if t.b or t.d:
        return
    degrees = sheet.ground.crs.is_geographic
    height, width = sheet.valid.shape
    tall = height * sheet.aspect
    for axis, size, start, step, sides, side in (
        (axes.xaxis, width, t.c, t.a, "EW", width),
        (axes.yaxis, height, t.f, t.e, "NS", tall),
    ):
        room = max(1, int(LONG * side / max(width, tall) / LABEL))
        step *= sheet.step
        low, high = sorted((start, start + step * size))
        every = nice_length((high - low) / 2.2)
        at = np.arange(np.ceil(low / every), np.floor(high / every) + 1) * every
        at = at[:: -(-len(at) // room) or 1]
        digits = max(0, int(-np.floor(np.log10(every))))
        labels = [
            f"{abs(v):.{digits}f}°{sides[int(v < 0)]}" if degrees else f"{v:,.{digits}f}".replace(
                ",", " "
            )
            for v in at
        ]  # fmt: skip
        axis.set_ticks((at - start) / step - 0.5, labels)
    axes.tick_params(labelsize=7, color="0.4", labelcolor="0.3", length=3)
    end = height * LABEL / LONG * max(width, tall) / tall / 2  # nearer, a label would stick out
    for row, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        anchor = "top" if row < end else "bottom" if row > height - end else "center"
        label.set(rotation=90, va=anchor)


def _scale_bar(axes, width, metres_px, thick) -> None:
    """Black and white halves on a white plate: seen on every ground."""
    from matplotlib.offsetbox import AuxTransformBox, TextArea, VPacker

    metres = nice_length(width * metres_px / 4)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    long = metres / metres_px
    bar = AuxTransformBox(axes.transData)
    for i, colour in enumerate(("black", "white")):
        bar.add_artist(
            drawing().Rectangle(
                (i * long / 2, 0), long / 2, thick, facecolor=colour, edgecolor="black", lw=0.8
            )
        )
    label = TextArea(text, textprops={"fontsize": 9})
    packed = VPacker(children=[label, bar], align="center", pad=0, sep=3)
    _plate(axes, packed, "lower left")


def _plate(axes, content, corner: str) -> None:
    from matplotlib.offsetbox import AnchoredOffsetbox

    plate = AnchoredOffsetbox(loc=corner, child=content, pad=0.4, borderpad=0.5)
    plate.patch.set(facecolor="white", edgecolor="none", alpha=0.85)
    axes.add_artist(plate)


def _north_arrow(axes, north, aspect) -> None:
    from matplotlib.offsetbox import DrawingArea
    from matplotlib.patches import Polygon
    from matplotlib.text import Text

    # y is downwards in `north`, upwards on the page
    up = np.array([north[0], -north[1] * aspect])
    up /= np.hypot(*up)
    side = np.array([-up[1], up[0]])
    middle = np.array([13.0, 13.0])  # points
    area = DrawingArea(26, 26)
    tail = middle - 12 * up
    corners = [middle + 4 * up, tail + 5 * side, tail + 3.5 * up, tail - 5 * side]
    area.add_artist(Polygon(corners, closed=True, facecolor="black"))
    x, y = middle + 10 * up
    area.add_artist(Text(x, y, "N", ha="center", va="center", fontsize=9, fontweight="bold"))
    _plate(axes, area, "upper right")
