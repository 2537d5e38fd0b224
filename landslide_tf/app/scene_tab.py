"""The part of the page that maps a scene.

Gradio reads the annotations of `arrive` and `pick` as classes. This module therefore does not use
`from __future__ import annotations`, which turns annotations into strings.
"""

from html import escape

import pandas as pd

from landslide_tf.app import jobs, maps, run_view, scenes, words
from landslide_tf.app.site_folders import QUIET, WITHIN, Site, choose_file, choose_threshold
from landslide_tf.checks import InputError, JobError
from landslide_tf.geo.settings import MapOptions

MOST_ROWS = 2000  # of the table; the largest landslides
COLUMNS = (  # few enough for a narrow page; a click on a row tells the others
    ("id", "Number", "{:.0f}"), ("area_m2", "Area (m²)", "{:,.0f}"),
    ("height_m", "Height (m)", "{:,.0f}"), ("slope_deg", "Slope (°)", "{:.1f}"),
    ("prob_mean", "Probability", "{:.2f}"),
)  # fmt: skip
TO_MAP = """content => { const frame = document.querySelector('#map iframe');
  if (frame && content) frame.contentWindow.postMessage({polygons: JSON.parse(content)}, '*'); }"""
ZOOM = """id => { const frame = document.querySelector('#map iframe');
  if (!frame || !id) return;
  frame.scrollIntoView({block: 'nearest'});
  frame.contentWindow.postMessage({zoom: Number(id)}, '*'); }"""
REMEMBER = """id => { if (!id) return;
  const address = new URL(location); address.searchParams.set('job', id);
  history.replaceState(null, '', address);
  document.querySelector('#said').scrollIntoView({block: 'nearest', behavior: 'smooth'}); }"""
PRESS = "() => setTimeout(() => document.querySelector('#%s').click(), 300)"


def scene_tab(gr, site: Site, page, model) -> None:
    """Add the parts of the page, and what each calls."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            example = gr.Button("Map the example scene", variant="secondary")
            image = choose_file(gr, site, "Image (GeoTIFF)", "scene")
            dem = choose_file(gr, site, "Elevation model, DEM (GeoTIFF)", "scene")
            with gr.Accordion("Reference and options", open=False):
                reference = choose_file(gr, site, "Reference (polygons, mask)", "reference")
                bands = gr.Textbox(label="Bands", placeholder="4,3,2",
                                   info="red, green, blue")  # fmt: skip
                scale = gr.Textbox("run", label="Scale", info="run (as in training), percentile, "
                                   "or LOW,HIGH: the values that become 0 and 1")  # fmt: skip
                nodata = gr.Textbox(label="No data", placeholder="-9999",
                                    info="a value beside the files' own")  # fmt: skip
            about = gr.HTML(elem_id="about")
            start = gr.Button("Start mapping", variant="primary")
        with gr.Column(scale=5, min_width=300):
            said = gr.HTML(words.sentence("Choose an image, or map the example scene."),
                           elem_id="said")  # fmt: skip
            with gr.Row():
                cancel = gr.Button("Cancel", visible=False, scale=0, min_width=160)
                go_on = gr.Button("Continue", visible=False, scale=0, min_width=160)
            with gr.Column(visible=False) as result:
                shown_map = gr.HTML(elem_id="map")
                with gr.Row():
                    threshold = choose_threshold(gr, "Threshold of probability")
                    area = gr.Number(0, label="Minimum area (m²)", precision=0)
                found = gr.HTML(elem_id="found")
                with gr.Row():
                    zip_button = gr.Button("Download all files (zip)")
                    gpkg_button = gr.Button("Download the polygons (GeoPackage)")
                table = gr.Dataframe(
                    label="Landslides: click on a row to see it on the map; ⋮ in a column's head "
                    "sorts", interactive=False,
                    max_height=420, elem_id="table",
                )  # fmt: skip
    job_id = gr.Textbox(visible=False)
    ready = gr.Textbox(visible=False)
    new_polygons = gr.Textbox(visible="hidden", label="Polygons")
    chosen = gr.Number(visible="hidden", label="Landslide")
    files = {
        "zip": gr.DownloadButton("Zip", visible="hidden", elem_id="zip-file"),
        "gpkg": gr.DownloadButton("GeoPackage", visible="hidden", elem_id="gpkg-file"),
    }
    timer = gr.Timer(1, active=False)
    inputs = [model, *image, *dem, *reference, bands, scale, nodata]

    def read(values):
        """The arguments of `Jobs.start` from the form, and facts and warnings about the scene.

        Without an image the facts and warnings are None. Errors give names of files, not paths.
        """
        model, image, image_name, dem, dem_name, truth, truth_name, bands, scale, nodata = values
        paths = ()
        try:
            scene, height = site.file(image, image_name, "scene"), site.file(dem, dem_name, "scene")
            truth = site.file(truth, truth_name, "reference")
            paths = (scene, height, truth)
            options = MapOptions(
                bands=bands or None, scale=scale or "run", nodata=_numbers(nodata),
                reference=truth and str(truth),
            )  # fmt: skip
            asked = site.model(model), scene, height, options
            return asked, scene and scenes.look_at_scene(*asked)
        except (InputError, JobError) as error:
            raise InputError(jobs.names_only(str(error), *paths, *_all(values))) from None

    def look(*values):
        try:
            _, known = read(values)
            return words.facts(*(known or (run_view.needs(site.model(values[0])),)))
        except InputError as error:
            return words.sentence(str(error), "error")

    def begin(*values):
        try:
            asked, known = read(values)
            if known is None:
                raise InputError("choose an image, or map the example scene")
        except InputError as error:
            return *[gr.skip()] * 4, words.sentence(str(error), "error")
        return *started(site.jobs.start(*asked)), gr.skip()

    def started(job):
        return job.id, "", words.progress(job, site.jobs.ahead(job)), gr.Timer(active=True)

    def begin_example(model):
        name, pixel_m = site.example_model(model)
        try:
            run, folder = site.model(name), site.demo("scene")
        except InputError as error:
            return gr.skip(), gr.skip(), words.sentence(str(error), "error"), gr.skip(), gr.skip()
        options = MapOptions(reference=str(folder / "landslides.gpkg"), resolution_m=pixel_m)
        job = site.jobs.start(run, folder / "scene.tif", folder / "dem.tif", options)
        return *started(job), name

    def tick(identifier):
        job = site.jobs.get(identifier)
        if job is None:
            gone = words.sentence("This map is gone: the server was started anew.")
            text = gone if identifier else gr.skip()
            return text, gr.Timer(active=False), _seen(False), _seen(False), ""
        under_way = job.state in ("waiting", "running")
        text = words.progress(job, site.jobs.ahead(job)) + words.link(job)
        return (text, gr.Timer(active=under_way), _seen(under_way),
                _seen(job.state == "stopped"), job.id if job.state == "done" else "")  # fmt: skip

    def _seen(visible):
        return gr.Button(visible=visible)

    def stop(identifier):
        if job := site.jobs.get(identifier):
            site.jobs.stop(job)
        return gr.Timer(active=True)

    def resume(identifier):
        if job := site.jobs.get(identifier):
            site.jobs.go_on(job)
        return gr.Timer(active=True)

    def arrive(request: gr.Request):
        asked = request.query_params.get("job")
        return asked, gr.Timer(active=bool(asked))

    def show(identifier):
        job = site.jobs.get(identifier)
        if job is None:
            return gr.Column(visible=False), "", *[gr.skip()] * 4
        about, polygons = jobs.read_map(job)
        share, least = jobs.settings(about)
        frame = (
            '<iframe title="Map of landslides" sandbox="allow-scripts" srcdoc="'
            f'{escape(maps.map_page(job.map, polygons))}"></iframe>'
        )
        return (gr.Column(visible=True), frame, share, least,
                words.found(about), _rows(polygons))  # fmt: skip

    def redraw(identifier, share, least):
        job = site.jobs.get(identifier)
        if job is None:
            return gr.skip(), gr.skip(), ""
        try:
            about, polygons = jobs.redraw(job, share, least or 0)
        except (InputError, JobError) as error:
            return words.sentence(jobs.plain(error, job), "error"), gr.skip(), ""
        features = maps.features(polygons, maps.place_of(job.map))
        return words.found(about), _rows(polygons), features

    def packed(make):
        def prepare(identifier, share, least):
            job = site.jobs.get(identifier)
            if job is None:
                raise gr.Error("This map is gone.", print_exception=False)
            try:
                jobs.bring_up_to_date(job, share, least or 0)
            except (InputError, JobError) as error:
                raise gr.Error(escape(jobs.plain(error, job)), print_exception=False) from None
            return str(make(job, site.uploads))

        return prepare

    gr.on([part.change for part in inputs], look, inputs, about, trigger_mode="always_last",
                 **QUIET)  # fmt: skip
    outputs = [job_id, ready, said, timer]
    page.load(look, inputs, about, **QUIET)
    for press in (start.click(begin, inputs, [*outputs, about], **QUIET),
                  example.click(begin_example, model, [*outputs, model], **QUIET)):  # fmt: skip
        press.then(None, job_id, None, js=REMEMBER)
    cancel.click(stop, job_id, timer, **QUIET)
    go_on.click(resume, job_id, timer, **QUIET)
    timer.tick(tick, job_id, [said, timer, cancel, go_on, ready], concurrency_limit=None, **QUIET)
    page.load(arrive, None, [job_id, timer], **QUIET)
    ready.change(show, ready, [result, shown_map, threshold, area, found, table],
                 concurrency_limit=None, **QUIET)  # fmt: skip
    gr.on([threshold.input, area.input], redraw, [job_id, threshold, area],
          [found, table, new_polygons], js=f"(id, share, area) => [id, {WITHIN}, area]",
          trigger_mode="always_last", show_progress="minimal", show_progress_on=found,
          api_visibility="private").then(
        None, new_polygons, None, js=TO_MAP)  # fmt: skip

    def pick(event: gr.SelectData):
        return event.row_value[0]

    table.select(pick, None, chosen, **QUIET).then(None, chosen, None, js=ZOOM)
    for button, name, make in (
        (zip_button, "zip", jobs.pack),
        (gpkg_button, "gpkg", jobs.geopackage),
    ):
        button.click(
            packed(make), [job_id, threshold, area], files[name], api_visibility="private"
        ).success(None, None, None, js=PRESS % f"{name}-file")


def _all(values) -> list[str]:
    """The paths of uploads among the values of a form."""
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [value for value in flat if isinstance(value, str) and "/" in value]


def _numbers(text):
    """The no-data values of a form: None, or numbers with commas between."""
    if not (text and text.strip()):
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"no data must be a number, or several with commas: {text!r}") from None


def _rows(polygons):
    """The table of the landslides, the largest first."""
    shown = polygons.nlargest(MOST_ROWS, "area_m2")
    known = [column for column in COLUMNS if column[0] in shown]
    frame = pd.DataFrame({title: shown[name].astype(float) for name, title, _ in known})
    return frame.style.format({title: form for _, title, form in known}, na_rep="–")
