"""Area-frequency distribution of landslides: the curve by which inventories are compared."""

from __future__ import annotations

import numpy as np

from landslide_tf.training.figures import BLUE, drawing, save

FEWEST = 10  # landslides, below which a curve says nothing
BINS_A_DECADE = 5


def density(areas_m2) -> tuple[np.ndarray, np.ndarray]:
    """Centres (m2) of logarithmic bins of area, and the probability density (per m2) in each.

    The density is the number of landslides in a bin, divided by their total number and by the
    bin's width; empty bins are left out (Malamud and others 2004).

    >>> middle, p = density([10.0, 10.0, 10.0, 1000.0])
    >>> len(middle), bool(p[0] > p[1])
    (2, True)
    """
    areas = np.asarray(areas_m2, float)
    first = np.floor(np.log10(areas.min()) * BINS_A_DECADE)
    last = np.floor(np.log10(areas.max()) * BINS_A_DECADE) + 1
    edges = 10 ** (np.arange(first, last + 1) / BINS_A_DECADE)
    count, _ = np.histogram(areas, edges)
    some = count > 0
    return np.sqrt(edges[:-1] * edges[1:])[some], (count / len(areas) / np.diff(edges))[some]


def area_frequency(path, areas: dict, min_area_m2: float) -> None:
    """`area_frequency.png`: the density of landslide areas of each of `areas` (m2), by name."""
    figure, axes = drawing().subplots(figsize=(5.2, 4))
    styles = ({"color": "#e6007e", "marker": "o"}, {"color": BLUE, "marker": "s", "ls": "--"})
    for (name, values), style in zip(areas.items(), styles, strict=False):
        if len(values):
            label = f"{name} ({len(values)} landslides)"
            axes.loglog(*density(values), lw=1.5, ms=5, label=label, **style)
    axes.axvline(
        min_area_m2, color="0.6", lw=1, ls=":", label=f"smallest kept, {min_area_m2:,.0f} m²"
    )
    axes.set(xlabel="area of a landslide (m²)", ylabel="probability density (1/m²)")
    # powers would be set as formulas, which takes a second
    for axis, form in ((axes.xaxis, "{x:,.0f}"), (axes.yaxis, "{x:.0e}")):
        axis.set_major_formatter(form)
        axis.set_minor_formatter("")
    axes.set_title("Area-frequency distribution of the landslides", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)
