"""The page in a browser: each way from start to end, at two widths, with a clean console."""

import os
import re
import shutil
import zipfile

import pyogrio
import pytest

from landslide_tf.app import jobs

pytestmark = pytest.mark.browser
api = pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.txt)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
MINUTE = 60_000  # ms; a bound, not a wait


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        # a container's root has no sandbox to run in
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


# Now and then Gradio's own code logs this when it shows an error; nothing is amiss on the page.
GRADIO_SAYS = ("Method not implemented.",)


@pytest.fixture
def open_page(chromium, served_page):
    """A function that opens the page; in the end its console must be clean, and it must have
    asked nobody but the server."""
    opened, bad = [], []

    def open_(query="", width=1280):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(2 * MINUTE)
        page.on("console", lambda m: bad.append(m.text) if is_bad(m) else None)
        page.on("pageerror", lambda error: bad.append(str(error)))
        page.on("request", lambda r: None if is_own(r.url) else bad.append(f"asks {r.url}"))
        page.goto(served_page.url + query)
        opened.append(page)
        return page

    def is_bad(message):
        return message.type in ("error", "warning") and message.text not in GRADIO_SAYS

    def is_own(url):
        return url.startswith((served_page.url.rstrip("/"), "data:", "blob:", "about:"))

    yield open_
    for page in opened:
        page.close()
    assert bad == []


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def choose_model(page, name):
    page.get_by_role("combobox", name="Model", exact=True).click()
    page.get_by_role("option", name=name).click()
    api.expect(page.get_by_role("option")).to_have_count(0)


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def landslides(page):
    """The number in the sentence below the map."""
    return int(re.match(r"([\d,]+) landslides", page.locator("#found .says").inner_text())[1])


def choose_file(page, label, name):
    page.get_by_label(f"{label}: or a file of the server").click()
    page.get_by_role("option", name=name, exact=True).last.click()
    # the list closes with a movement; until then it lies over the next one
    api.expect(page.get_by_role("option")).to_have_count(0)


def map_files(page):
    """Map the scene of --files, 128 x 128 pixels, with a reference."""
    choose_model(page, "red")
    choose_file(page, "Image (GeoTIFF)", "scene.tif")
    page.get_by_text("reads elevation; give the DEM").wait_for()  # before starting
    choose_file(page, "Elevation model, DEM (GeoTIFF)", "dem.tif")
    page.get_by_text("128 x 128 pixels of 10 m").wait_for()
    page.get_by_role("button", name="Reference and options").click()
    choose_file(page, "Reference (polygons, mask)", "landslides.gpkg")
    press(page, "Start mapping")
    page.locator("#map iframe").wait_for()
    page.get_by_text("landslides at threshold 0.50").wait_for()
    page.wait_for_timeout(1500)  # nothing redraws it by itself


# Elements within another that are moved from side to side to see all of them.
WIDER = """place => [...document.querySelectorAll(place + ' *')]
  .filter(e => e.scrollWidth > e.clientWidth)
  .filter(e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).map(e => e.className)"""


def wait_until(page, condition):
    for _ in range(600):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("waited a minute")


@pytest.mark.parametrize("width", [1280, 400])
def test_a_scene_is_mapped_redrawn_and_downloaded(open_page, served_page, tmp_path, width):
    page = open_page(width=width)
    map_files(page)
    frame = page.frame_locator("#map iframe")
    frame.get_by_label(re.compile("Map of landslides")).wait_for()
    assert page.get_by_text("Against the reference").is_visible()
    assert fits(page)
    assert page.get_by_label("Minimum area (m²)").input_value() == "899"  # nine pixels, rounded
    (job,) = [job for job in served_page.jobs._jobs.values() if job.id in page.url]
    assert landslides(page) == jobs.read_map(job)[0]["landslides"]
    # the slider, with the keyboard: a higher threshold, other polygons, without the model
    before = landslides(page)
    slider = page.get_by_label("range slider for Threshold of probability")
    slider.focus()
    for _ in range(15):
        slider.press("ArrowRight")
    page.get_by_text("landslides at threshold 0.65").wait_for()
    shown = landslides(page)
    assert shown != before
    assert page.get_by_label("Reset to default value").count() == 0  # it would not redraw
    # the table: sorted by probability, a row clicked, and the map moves there
    scale = frame.locator(".leaflet-control-scale-line")
    wide = scale.inner_text()
    row = page.locator("#table [role=row][data-index='0'] [role=gridcell]").first
    row.scroll_into_view_if_needed()
    row.click()
    wait_until(page, lambda: scale.inner_text() != wide)
    frame.locator(".leaflet-popup-content").get_by_text("mean slope").wait_for()
    if width == 1280:
        assert page.evaluate(WIDER, "#table") == []
    # a popup of a landslide that is no longer drawn goes; what cannot be is said, or is the end
    area = page.get_by_label("Minimum area (m²)")
    area.fill("-5")
    page.get_by_text("the minimum area must be at least 0 m2").wait_for()
    area.fill("900")
    typed = page.get_by_label("number input for Threshold of probability")
    typed.fill("5")
    page.get_by_text("landslides at threshold 0.99").wait_for()
    wait_until(page, lambda: frame.locator(".leaflet-popup-content").count() == 0)
    typed.fill("0.65")
    page.get_by_text("landslides at threshold 0.65").wait_for()
    # each layer fades
    if width < 500:
        frame.get_by_text("Layers").click()
    for name in ("Image", "Probability", "Landslides"):
        frame.get_by_label(name, exact=True).fill("40")
    opacity = "e => getComputedStyle(e).opacity"
    pictures = frame.locator(".leaflet-image-layer")
    assert [pictures.nth(i).evaluate(opacity) for i in (0, 1)] == ["0.4", "0.4"]
    if shots := os.environ.get("LANDSLIDE_SCREENSHOTS"):
        page.locator("#map").scroll_into_view_if_needed()
        page.screenshot(path=f"{shots}/map-{width}.png")
    # what is downloaded is what is shown
    for name in ("Download all files (zip)", "Download the polygons (GeoPackage)"):
        with page.expect_download(timeout=MINUTE) as download:
            press(page, name)
        download.value.save_as(tmp_path / download.value.suggested_filename)
    with zipfile.ZipFile(tmp_path / "landslides-scene.zip") as archive:
        archive.extractall(tmp_path)
    for path in ("landslides-scene.gpkg", "landslides-scene/landslides.gpkg"):
        assert len(pyogrio.read_dataframe(tmp_path / path, layer="landslides")) == shown
    assert (tmp_path / "landslides-scene/errors.tif").is_file()


def test_cancelled_closed_and_found_again(open_page, served_page, monkeypatch):
    from landslide_tf.app.jobs import MapJob

    hear = MapJob.hear

    def slowly(job, *state):
        hear(job, *state)
        job.cancel.wait(0.3)

    monkeypatch.setattr(MapJob, "hear", slowly)
    page = open_page()
    choose_model(page, "red")
    press(page, "Map the example scene")
    page.get_by_text(re.compile(r"windows, about .* left")).wait_for()
    page.wait_for_url("**/?job=*")
    query = page.url.split("/")[-1]
    page.close()  # the map goes on
    page = open_page(query)
    page.get_by_text(re.compile(r"windows, about .* left")).wait_for()
    press(page, "Cancel")
    page.get_by_text("cancelled. What is computed is kept.").wait_for()
    monkeypatch.undo()
    press(page, "Continue")
    page.get_by_text("the map is ready").wait_for()
    page.locator("#map iframe").wait_for()
    assert landslides(page) > 0
    page = open_page("?job=unknown")
    page.get_by_text("This map is gone").wait_for()


@pytest.mark.parametrize("width", [1280, 400])
def test_a_tile_is_tried(open_page, served_page, width):
    page = open_page(width=width)
    choose_model(page, "trained")
    page.get_by_role("tab", name="Try a tile").click()
    press(page, "Try the example tile")
    page.get_by_text("Occlusion: what the model needs").wait_for()
    for kind in ("Outline", "Probability", "Grad-CAM"):
        page.get_by_text(kind, exact=True).locator("visible=true").first.wait_for()
    said = page.get_by_text("of the tile lies above the threshold")
    before = said.inner_text()
    slider = page.get_by_label("range slider for Threshold of the outline")
    slider.focus()
    slider.press("Home")  # the lowest
    wait_until(page, lambda: said.inner_text() != before)
    assert fits(page)


def test_the_example_tile_has_a_model_of_its_own(open_page):
    page = open_page()
    choose_model(page, "mars-rgb-dem")
    page.get_by_role("tab", name="Try a tile").click()
    press(page, "Try the example tile")
    said = page.get_by_text("of the tile lies above the threshold")
    assert 10 < float(said.inner_text().split("%")[0]) < 30  # a fifth of it is landslide
    model = page.get_by_role("combobox", name="Model", exact=True)
    assert model.input_value() == "demo-rgb-dem (included)"


def test_a_run_is_looked_at(open_page):
    page = open_page(width=400)
    page.get_by_role("tab", name="Try a tile").wait_for()
    choose_model(page, "trained")
    tab = page.get_by_role("tab", name="Look at a run").locator("visible=true")
    if tab.count() == 0:  # tabs that do not fit are behind a button
        page.get_by_label("More tabs").click()
        tab = page.locator(".overflow-dropdown button")
    tab.first.click()
    card = page.locator("#card")
    card.get_by_text("unet, attention none, 2 filters").wait_for()
    assert "Test, chosen threshold" in page.locator("#scores").inner_text()
    for title in ("Curves of the training", "Predictions on the test part"):
        page.get_by_text(title).locator("visible=true").first.wait_for()
    assert fits(page)


def test_a_broken_upload_is_a_sentence_on_the_page(open_page, tmp_path):
    page = open_page()
    choose_model(page, "red")
    path = tmp_path / "<img src=x onerror=alert(1)>.tif"
    path.write_bytes(b"II*\0" + bytes(range(200)))
    page.locator("input[type=file]").first.set_input_files(path)
    alert = page.locator("#about [role=alert]")
    alert.wait_for()
    assert "cannot be read" in alert.inner_text()
    press(page, "Start mapping")  # nothing starts, and the sentence stays where it is
    page.wait_for_timeout(1000)
    assert "cannot be read" in alert.inner_text()
    assert "?job=" not in page.url and page.locator("#said [role=alert]").count() == 0
    assert page.locator("img[src=x]").count() == 0


def test_every_control_has_a_name(open_page):
    """What a screen reader says of it."""
    page = open_page()
    map_files(page)
    page.frame_locator("#map iframe").get_by_label("Image", exact=True).wait_for()
    for frame in page.frames:
        unnamed = frame.evaluate(
            """() => [...document.querySelectorAll('input, select, textarea, button, iframe')]
              .filter(e => e.checkVisibility() && e.type !== 'file')
              .filter(e => !(e.labels?.length || e.ariaLabel || e.title || e.innerText?.trim()
                             || e.getAttribute('aria-labelledby') || e.closest('label')))
              .map(e => e.outerHTML.slice(0, 200))"""
        )
        assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "Landslide mapping"
