"""How QGIS shows the files of a map: styles (QML), which lie beside each raster."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

from landslide_tf.geo.attributes import CONFIDENCE, fields

QGIS_VERSION = "3.22.0"
# matplotlib's plasma: even in lightness, told apart with any colour vision; clear where low
PROBABILITY_STOPS = (
    (0.0, "#0d0887", 0),
    (0.1, "#41049d", 0),
    (0.25, "#8b0aa5", 110),
    (0.5, "#cc4778", 200),
    (0.75, "#f89540", 230),
    (1.0, "#f0f921", 255),
)
LANDSLIDE_COLOUR = "#e6007e"  # magenta: neither tan nor forest has it, with any colour vision
# of the errors, Okabe and Ito's; 0 is shown as nothing
ERROR_CLASSES = (
    (1, "#009e73", "found: landslide in map and reference"),
    (2, "#56b4e9", "false alarm: in the map alone"),
    (3, "#d55e00", "missed: in the reference alone"),
    (0, "#f7f7f7", "no landslide in either (transparent)"),
)
# one hue from pale to deep: told apart by lightness alone
CLASS_COLOURS = dict(zip(CONFIDENCE, ("#ffb3e0", "#ff4fb0", "#e6007e", "#8e0054"), strict=True))


def element(tag: str, *children, **attributes) -> Element:
    """An XML element with its children, which are elements or one text.

    >>> tostring(element("a", element("c", "d < e"), b=1))
    b'<a b="1"><c>d &lt; e</c></a>'
    """
    result = Element(tag, {name: str(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, str):
            result.text = child
        else:
            result.append(child)
    return result


def qml(parts: list[Element]) -> str:
    """The text of a style file with the given parts.

    >>> qml([element("blendMode", "0")]).splitlines()[1]
    '<qgis version="3.22.0" styleCategories="AllStyleCategories"><blendMode>0</blendMode></qgis>'
    """
    root = element("qgis", *parts, version=QGIS_VERSION, styleCategories="AllStyleCategories")
    kind = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return kind + tostring(root, encoding="unicode") + "\n"


def raster_parts(name: str, percent: bool) -> list[Element]:
    """The parts of the style of `probability.tif`, `landslides.tif` or `errors.tif`.

    `percent` says that probability runs from 0 to 100.
    """
    if name == "probability.tif":
        renderer = _pseudocolour(percent)
    elif name == "landslides.tif":
        renderer = _paletted([(1, LANDSLIDE_COLOUR, "mapped as landslide")])
    else:
        renderer = _paletted(ERROR_CLASSES)
    return [element("pipe", renderer), element("blendMode", "0")]


def _pseudocolour(percent: bool) -> Element:
    top = 100 if percent else 1
    items = [
        element("item", value=top * share, color=colour, alpha=alpha, label=f"{share:.0%}")
        for share, colour, alpha in PROBABILITY_STOPS
    ]
    shader = element(
        "colorrampshader", *items, colorRampType="INTERPOLATED", classificationMode=1, clip=0,
        minimumValue=0, maximumValue=top, labelPrecision=2,
    )  # fmt: skip
    return element(
        "rasterrenderer", element("rasterTransparency"), element("rastershader", shader),
        type="singlebandpseudocolor", band=1, opacity=1, alphaBand=-1, nodataColor="",
        classificationMin=0, classificationMax=top,
    )  # fmt: skip


def _paletted(classes) -> Element:
    entries = [
        element("paletteEntry", value=value, color=colour, alpha=255 if value else 0, label=label)
        for value, colour, label in classes
    ]
    return element(
        "rasterrenderer", element("rasterTransparency"), element("colorPalette", *entries),
        type="paletted", band=1, opacity=1, alphaBand=-1, nodataColor="",
    )  # fmt: skip


def image_parts(bands, limits) -> list[Element]:
    """The parts of the style of an image: its bands R, G, B stretched between two values each.

    >>> parts = image_parts((3, 2, 1), [(0, 2000), (0, 1800), (10, 1500)])
    >>> parts[0][0].attrib["redBand"]
    '3'
    """
    red, green, blue = bands
    stretches = [
        element(
            f"{colour}ContrastEnhancement",
            element("minValue", f"{low:g}"),
            element("maxValue", f"{high:g}"),
            element("algorithm", "StretchToMinimumMaximum"),
        )
        for colour, (low, high) in zip(("red", "green", "blue"), limits, strict=True)
    ]
    renderer = element(
        "rasterrenderer", element("rasterTransparency"), *stretches, type="multibandcolor",
        opacity=1, alphaBand=-1, nodataColor="", redBand=red, greenBand=green, blueBand=blue,
    )  # fmt: skip
    return [element("pipe", renderer), element("blendMode", "0")]


def polygon_parts(with_dem: bool) -> list[Element]:
    """The parts of the style of `landslides.gpkg`: colours by confidence, names of columns."""
    categories, symbols = [], []
    for i, (value, text) in enumerate(CONFIDENCE.items()):
        categories.append(
            element(
                "category", value=value, type="integer", label=f"{value} {text}", symbol=i,
                render="true",
            )
        )  # fmt: skip
        symbols.append(
            element(
                "symbol",
                _fill("#000000", 0, "#ffffff", 0.85),  # a white line beneath, seen on dark forest
                _fill(CLASS_COLOURS[value], 70, CLASS_COLOURS[value], 0.5),
                name=i, type="fill", alpha=1, clip_to_extent=1, force_rhr=0,
            )
        )  # fmt: skip
    renderer = element(
        "renderer-v2", element("categories", *categories), element("symbols", *symbols),
        type="categorizedSymbol", attr="confidence", symbollevels=0, enableorderby=0,
    )  # fmt: skip
    aliases = [
        element("alias", field=f.name, name=f.title, index=i)
        for i, f in enumerate(fields(with_dem), 1)  # 0 is the feature's number in the file
    ]
    tip = "<b>Landslide [% id %]</b>: [% conf_text %]<br>[% area_m2 %] m²"
    return [
        renderer,
        element("aliases", *aliases),
        element("previewExpression", '"id"'),
        element("mapTip", tip),
    ]


def _fill(colour: str, alpha: int, line: str, width_mm: float) -> Element:
    properties = {
        "color": ",".join(map(str, (*rgb(colour), alpha))),
        "style": "solid",
        "outline_color": ",".join(map(str, (*rgb(line), 255))),
        "outline_style": "solid",
        "outline_width": width_mm,
        "outline_width_unit": "MM",
        "joinstyle": "round",
    }
    properties = [element("prop", k=name, v=value) for name, value in properties.items()]
    attributes = {"class": "SimpleFill", "enabled": 1, "locked": 0, "pass": 0}
    return element("layer", *properties, **attributes)


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour.

    >>> rgb("#e6007e")
    (230, 0, 126)
    """
    return tuple(bytes.fromhex(colour[1:]))
