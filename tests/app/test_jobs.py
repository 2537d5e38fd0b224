"""Maps in a queue: turns, cancelling, going on, failing; and what is downloaded."""

import io
import threading
import time
import zipfile
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest

from landslide_tf.app import jobs as module
from landslide_tf.app import words
from landslide_tf.app.jobs import Jobs, bring_up_to_date, geopackage, pack, read_map, redraw
from landslide_tf.geo.job import MapOptions


@pytest.fixture
def queue(tmp_path):
    jobs = Jobs(tmp_path / "own/jobs")
    yield jobs
    jobs.close()


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def scene(make_scene):
    """Two bright squares, of 30 x 30 and 10 x 10 pixels of 2 m, and one of middling brightness."""
    image = np.full((90, 120, 3), 10, "uint8")
    image[20:50, 5:35] = 250
    image[20:30, 60:70] = 250
    image[60:80, 60:80] = 100  # logit 8 * 100 / 255 - 4: probability 0.297
    return make_scene((90, 120), image=image)


def test_a_map_from_start_to_end(queue, red_run, scene, tmp_path):
    job = queue.start(red_run, *scene, MapOptions())
    assert queue.get(job.id) is job and queue.get("another") is None
    wait(lambda: job.state == "done")
    about, polygons = read_map(job)
    assert about["landslides"] == len(polygons) == 2
    found, more = redraw(job, 0.2, 0)
    assert found["landslides"] == len(more) == 3
    few, large = redraw(job, 0.5, 2000)  # 30 x 30 pixels are 3600 m2, 10 x 10 are 400
    assert few["landslides"] == len(large) == 1
    assert len(read_map(job)[1]) == 2  # nothing was written
    bring_up_to_date(job, 0.2, 0)
    path = pack(job, tmp_path / "downloads")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "out")
    folder = "landslides-scene"
    assert {f"{folder}/{name}" for name in ("landslides.gpkg", "report.json", "map.qgz")} <= names
    with zipfile.ZipFile(tmp_path / "out" / folder / "map.qgz") as file:
        project = ElementTree.fromstring(file.read("map.qgs"))
    sources = [part.text.partition("|")[0] for part in project.iter("datasource")]
    assert "./scene.tif" in sources  # as for the others, QGIS finds it beside the project
    assert all((tmp_path / "out" / folder / source).is_file() for source in sources)
    tree = {part.get("source") for part in project.iter("layer-tree-layer")}
    assert "./scene.tif" in tree and not any(source.startswith("../") for source in tree)
    assert len(pyogrio.read_dataframe(tmp_path / f"out/{folder}/landslides.gpkg")) == 3
    assert len(pyogrio.read_dataframe(geopackage(job, tmp_path / "downloads"))) == 3
    assert path.parent.name != geopackage(job, tmp_path / "downloads").parent.name


def test_an_image_that_is_called_as_a_map_is_in_the_zip(queue, red_run, scene, tmp_path):
    image, dem = scene
    image = image.rename(image.with_name("landslides.tif"))
    job = queue.start(red_run, image, dem, MapOptions())
    wait(lambda: job.state == "done")
    with zipfile.ZipFile(pack(job, tmp_path)) as archive:
        assert archive.read("landslides-landslides/scene-landslides.tif") == image.read_bytes()
        project = zipfile.ZipFile(io.BytesIO(archive.read("landslides-landslides/map.qgz")))
    assert ">./scene-landslides.tif<" in project.read("map.qgs").decode()


def test_what_is_shown_needs_no_new_files(queue, red_run, scene):
    job = queue.start(red_run, *scene, MapOptions())
    wait(lambda: job.state == "done")
    about, _ = read_map(job)
    before = (job.map / "landslides.gpkg").stat().st_mtime_ns
    bring_up_to_date(job, *module.settings(about))
    assert (job.map / "landslides.gpkg").stat().st_mtime_ns == before


def test_back_at_its_threshold_a_map_shows_what_its_files_hold(queue, red_run, scene):
    # The square of probability 0.2968 is no landslide; the map keeps 30 %, which would be one.
    job = queue.start(red_run, *scene, MapOptions(threshold=0.299))
    wait(lambda: job.state == "done")
    about, polygons = read_map(job)
    assert len(redraw(job, 0.2, 0)[1]) == 3
    assert len(redraw(job, *module.settings(about))[1]) == len(polygons) == 2


def test_the_second_map_waits_its_turn(queue, monkeypatch, red_run, scene):
    running, go = threading.Event(), threading.Event()

    def slow(*_, **__):
        running.set()
        assert go.wait(60)

    monkeypatch.setattr(module, "map_scenes", slow)
    first = queue.start(red_run, *scene, MapOptions())
    running.wait(60)
    second, third = (queue.start(red_run, *scene, MapOptions()) for _ in range(2))
    assert (first.state, second.state) == ("running", "waiting")
    assert [queue.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    assert "2 maps before it" in words.progress(third, queue.ahead(third))
    queue.stop(second)
    assert second.state == "stopped" and queue.ahead(third) == 1
    go.set()
    wait(lambda: third.state == "done")
    assert second.state == "stopped"  # it was left out


def test_who_goes_on_stands_at_the_end(queue, monkeypatch, red_run, scene):
    made, go = [], threading.Event()

    def slow(run, places, *_, **__):
        made.append(places[0][2])
        assert go.wait(60)

    monkeypatch.setattr(module, "map_scenes", slow)
    first, second, third = (queue.start(red_run, *scene, MapOptions()) for _ in range(3))
    wait(lambda: made)
    queue.stop(second)
    queue.go_on(second)
    assert [queue.ahead(job) for job in (first, third, second)] == [0, 1, 2]
    go.set()
    wait(lambda: second.state == "done")
    assert made == [first.map, third.map, second.map]


def test_cancelled_and_continued(queue, monkeypatch, red_run, scene):
    hear = module.MapJob.hear

    def hear_and_cancel(job, stage, done, total):
        hear(job, stage, done, total)
        if stage == "windows":
            job.cancel.set()

    monkeypatch.setattr(module.MapJob, "hear", hear_and_cancel)
    job = queue.start(red_run, *scene, MapOptions())
    wait(lambda: job.state == "stopped")
    assert "cancelled" in words.progress(job, 0)
    assert (job.map / "unfinished").is_dir() and not (job.map / "report.json").exists()
    monkeypatch.undo()
    queue.go_on(job)
    wait(lambda: job.state == "done")
    assert len(read_map(job)[1]) == 2


def test_a_map_that_fails_is_a_sentence_without_paths(queue, monkeypatch, red_run, scene):
    image, dem = scene
    image.write_bytes(image.read_bytes()[:300])
    job = queue.start(red_run, image, dem, MapOptions())
    wait(lambda: job.state == "failed")
    shown = words.progress(job, 0)
    assert 'role="alert">scene.tif: ' in shown
    assert str(image.parent) not in shown
    monkeypatch.setattr(module, "map_scenes", lambda *_, **__: 1 / 0)
    job = queue.start(red_run, image, dem, MapOptions())
    wait(lambda: job.state == "failed")  # the worker lives on
    assert "ZeroDivisionError" in words.progress(job, 0)


def test_ids_cannot_be_guessed(queue, monkeypatch):
    monkeypatch.setattr(module, "map_scenes", lambda *_, **__: None)
    names = {queue.start("run", "a.tif", None, MapOptions()).id for _ in range(50)}
    assert len(names) == 50 and all(len(name) >= 22 for name in names)  # 128 bits


def test_an_upload_lies_beside_its_map(queue, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "map_scenes", lambda *_, **__: None)
    upload, other = tmp_path / "own/uploads/1/a.tif", tmp_path / "files/b.tif"
    for path in (upload, other):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"II*\0")
    job = queue.start("run", upload, other, MapOptions())
    assert job.image == job.folder / "a.tif" and job.image.samefile(upload)
    assert job.dem == other  # of --files: where it is


def test_words_of_users_are_escaped():
    text = "<img src=x onerror=alert(1)>"
    job = module.MapJob(
        "a", None, module.Path(text), module.Path(text + ".tif"), None, MapOptions()
    )
    for state in ("waiting", "running", "stopped", "failed", "done"):
        job.state, job.message = state, text
        assert "<img" not in words.progress(job, 0)
    assert "<img" not in words.facts([(text, text)], [text]) + words.table(text, [text], [[text]])
