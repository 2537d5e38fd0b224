"""The page: its three parts under one choice of a model. The work is done elsewhere."""

from __future__ import annotations

import functools
import threading

from landslide_tf.app import run_view, words
from landslide_tf.app.scene_tab import scene_tab
from landslide_tf.app.site_folders import QUIET, Site
from landslide_tf.app.tile_tab import tile_tab
from landslide_tf.app.warm import warm_up
from landslide_tf.checks import InputError


def theme():
    """Colours and fonts of the page. No font is loaded from the network."""
    import gradio as gr

    letters = ["system-ui", "sans-serif"]
    looks = gr.themes.Default(primary_hue="teal", font=letters, font_mono=letters).set(
        body_text_color_subdued="*neutral_600", block_info_text_color="*neutral_600"
    )
    dark = {  # white on it can be read
        f"button_primary_background_fill{state}": colour
        for state, colour in (("", "*primary_700"), ("_hover", "*primary_800"))
    }
    return looks.set(slider_color="*primary_700", color_accent="*primary_700", **dark)


def build(site: Site):
    """The page as gradio's Blocks."""
    import gradio as gr

    with gr.Blocks(title="Landslide mapping", analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(
            "# Landslide mapping\nMap the landslides that show in an image. A model is right on "
            "ground like that it was trained on; elsewhere, check the map before its use.",
            elem_classes="intro",
        )
        names = list(site.models())
        model = gr.Dropdown(names, value=next(iter(names), None), label="Model")
        with gr.Tab("Map a scene"):
            scene_tab(gr, site, page, model)
        with gr.Tab("Try a tile"):
            tile_tab(gr, site, model)
        with gr.Tab("Look at a run"):
            _run_tab(gr, site, page, model)

        warm = threading.Lock()

        def offer(chosen):
            if warm.acquire(blocking=False):  # the first page that is opened
                name, _ = site.example_model(chosen)
                if name in site.models():
                    warm_up(site.model(name), functools.partial(site.demo, "scene"))
            names = list(site.models())
            kept = chosen if chosen in names else next(iter(names), None)
            return gr.Dropdown(names, value=kept)

        page.load(offer, model, model, **QUIET)
    return page


def _run_tab(gr, site: Site, page, model) -> None:
    card, scores = gr.HTML(elem_id="card"), gr.HTML(elem_id="scores")
    curves, predictions = (
        gr.Image(label=label, interactive=False, format="png", elem_classes="picture",
                 buttons=["download", "fullscreen"])
        for label in ("Curves of the training", "Predictions on the test part")
    )  # fmt: skip

    def look(model):
        try:
            folder = site.model(model)
            facts, rows = run_view.card(folder), run_view.scores(folder)
            images = [gr.Image(value=p, visible=p is not None) for p in run_view.pictures(folder)]
        except InputError as error:
            return words.sentence(str(error), "error"), "", *[gr.Image(visible=False)] * 2
        head = ("Part", *(title for _, title in run_view.SCORES))
        return words.facts(facts), words.table("Scores", head, rows), *images

    outputs = [card, scores, curves, predictions]
    model.change(look, model, outputs, **QUIET)
    page.load(look, model, outputs, **QUIET)
