"""The part of the page that tries a tile."""

from __future__ import annotations

from landslide_tf.app import jobs, tiles, words
from landslide_tf.app.site_folders import QUIET, WITHIN, Site, choose_file, choose_threshold
from landslide_tf.app.warm import loaded
from landslide_tf.checks import InputError, JobError


def tile_tab(gr, site: Site, model) -> None:
    """Add the parts of the page, and what each calls."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            example = gr.Button("Try the example tile")
            image = choose_file(gr, site, "Picture (PNG, JPEG, GeoTIFF)", "tile")
            dem = choose_file(gr, site, "Elevation of the picture, DEM", "tile")
            go = gr.Button("Predict", variant="primary")
        with gr.Column(scale=5, min_width=300):
            said = gr.HTML(words.sentence("Choose a picture, or try the example tile."))
            with gr.Column(visible=False) as result:
                threshold = choose_threshold(gr, "Threshold of the outline")
                with gr.Row():
                    kinds = ("Outline", "Probability", "Grad-CAM")
                    outline, probability, cam = (
                        gr.Image(label=label, interactive=False, format="png", min_width=240,
                                 buttons=["download", "fullscreen"], elem_classes="picture")
                        for label in kinds
                    )  # fmt: skip
                hidden = gr.HTML()
    trial = gr.State()

    def predict(model, i, i_name, d, d_name):
        return attempt(model, lambda: (site.file(i, i_name, "tile"), site.file(d, d_name, "tile")),
                       (i, d))  # fmt: skip

    def predict_example(model):
        name, _ = site.example_model(model)
        folder = site.demo("tile")
        return *attempt(name, lambda: (folder / "image.tif", folder / "dem.tif"), ()), name

    def attempt(model, choose, paths):
        try:
            picture, height = choose()
            paths = (*paths, picture, height)
            if picture is None:
                raise InputError("choose a picture, or try the example tile")
            found = tiles.try_tile(loaded(site.model(model)), picture, height)
        except (InputError, JobError) as error:
            text = words.sentence(jobs.names_only(str(error), *paths), "error")
            return text, gr.Column(visible=False), None, *[gr.skip()] * 5
        head = ("Without", "Mean change of probability", "Pixels that change sides")
        return (
            said_of(found, found.threshold), gr.Column(visible=True), found,
            found.threshold, tiles.outlined(found, found.threshold),
            tiles.over_grey(found, found.probability), tiles.over_grey(found, found.cam),
            words.table("Occlusion: what the model needs", head, tiles.occlusion_rows(found)),
        )  # fmt: skip

    def said_of(found, share):
        text = f"{tiles.share_above(found, share):.1%} of the tile lies above the threshold."
        return words.sentence(text) + "".join(words.sentence(w, "warning") for w in found.warnings)

    def again(found, share):
        if found is None:
            return gr.skip(), gr.skip()
        return said_of(found, share), tiles.outlined(found, share)

    outputs = [said, result, trial, threshold, outline, probability, cam, hidden]
    options = {"api_visibility": "private"}
    go.click(predict, [model, *image, *dem], outputs, **options)
    example.click(predict_example, model, [*outputs, model], **options)
    threshold.input(again, [trial, threshold], [said, outline], trigger_mode="always_last",
                    js=f"(trial, share) => [trial, {WITHIN}]", **QUIET)  # fmt: skip
