"""Who reaches the page, what it reads, and what it leaves behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import uuid
from pathlib import Path

import pytest
import requests

from landslide_tf.app import launch
from landslide_tf.checks import InputError, JobError
from landslide_tf.cli import main

pytest.importorskip("gradio", reason="needs requirements-app.txt")
ROOT = Path(__file__).parents[2]


class Visitor:
    """A person with a program of their own in place of a browser."""

    def __init__(self, server):
        self.url, self.web, self.hash = server.url, requests.Session(), uuid.uuid4().hex
        self.api = f"{self.url}gradio_api/"
        config = self.web.get(f"{self.url}config", timeout=30).json()
        self.functions = {d["api_name"]: d["id"] for d in config["dependencies"]}

    def call(self, name, *data):
        """What a function of the page answers: its outputs, or its error."""
        body = {"data": data, "fn_index": self.functions[name], "session_hash": self.hash}
        self.web.post(f"{self.api}queue/join", json=body, timeout=30).raise_for_status()
        answer = self.web.get(
            f"{self.api}queue/data", params={"session_hash": self.hash}, stream=True, timeout=60
        )
        for line in answer.iter_lines():
            if line.startswith(b"data:"):
                message = json.loads(line[5:])
                if message["msg"] == "process_completed":
                    return message["output"]
        raise AssertionError("no answer")

    def upload(self, path):
        """The file as the page hands it to a function, and the answer's status."""
        with open(path, "rb") as file:
            answer = self.web.post(f"{self.api}upload", files={"files": file}, timeout=60)
        if answer.status_code != 200:
            return None, answer.status_code
        return given(answer.json()[0]), 200

    def read(self, path):
        """The status of the answer to a request for a file."""
        return self.web.get(f"{self.api}file={path}", timeout=30).status_code


def given(path):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.tif"}


@pytest.fixture
def visitor(served_page):
    return Visitor(served_page)


def form(image=None, name="", model="red", dem_name=""):
    """The values of the form: model, image, DEM and reference (each twice), options."""
    return model, image, name, None, dem_name, [], "", "", "run", ""


def test_it_listens_on_this_machine_alone(served_page):
    assert served_page.url.startswith("http://127.0.0.1:")
    port = int(served_page.url.rsplit(":", 1)[1].strip("/"))
    own = {a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in own - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=2)


def test_others_are_let_in_with_a_password_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("LANDSLIDE_PASSWORD", raising=False)
    for host in ("0.0.0.0", "192.168.1.5", "example.org"):
        with pytest.raises(InputError, match="give a password"):
            launch(tmp_path, host=host)
    assert main(["app", "--host", "0.0.0.0", "--no-browser"]) == 2
    assert "give a password" in capsys.readouterr().err


def test_without_the_password_nothing_is_told(tmp_path):
    server = launch(tmp_path, password="slate & moss")
    try:
        secret = server.folder / "uploads/a.txt"
        secret.write_text("a")
        web, api = requests.Session(), f"{server.url}gradio_api/"
        assert web.get(f"{server.url}config", timeout=30).status_code == 401
        assert web.get(f"{api}file={secret}", timeout=30).status_code == 401
        with open(__file__, "rb") as file:
            assert web.post(f"{api}upload", files={"files": file}, timeout=30).status_code == 401
        body = {"data": [], "fn_index": 0, "session_hash": "a"}
        assert web.post(f"{api}queue/join", json=body, timeout=30).status_code == 401
        for password, right in (("", False), ("slate", False), ("slate & moss", True)):
            entry = {"username": "anyone", "password": password}
            assert web.post(f"{server.url}login", data=entry, timeout=30).ok is right
        assert web.get(f"{server.url}config", timeout=30).status_code == 200
    finally:
        server.close()


def test_a_shared_page_has_a_password(tmp_path, monkeypatch, capsys):
    """With a tunnel that is none: what is shared is the local server, which asks for it."""
    from gradio import networking

    monkeypatch.setattr(networking, "setup_tunnel", lambda **_: "http://abc.gradio.live")
    server = launch(tmp_path, share=True)  # returns: a cell must not hang
    try:
        assert server.url == "https://abc.gradio.live"
        password = re.search("password of the page: (.+)", capsys.readouterr().out)[1]
        local = server.blocks.local_url
        assert requests.get(f"{local}config", timeout=30).status_code == 401
        web = requests.Session()
        for given, right in (("guess", False), (password, True)):
            entry = {"username": "anyone", "password": given}
            assert web.post(f"{local}login", data=entry, timeout=30).ok is right
        assert web.get(f"{local}config", timeout=30).status_code == 200
    finally:
        server.close()


def test_a_page_that_cannot_be_shared_ends(tmp_path, monkeypatch):
    from gradio import networking

    def fails(**_):
        raise OSError("no network")

    monkeypatch.setattr(networking, "setup_tunnel", fails)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(JobError, match="start the page without share"):
        launch(tmp_path, share=True)
    assert not list(tmp_path.glob("landslide-app-*"))


def test_a_cell_on_colab_shows_the_page_below_it(tmp_path, monkeypatch):
    """Colab leads to a port of the notebook's machine for the notebook's owner alone."""
    from gradio import utils

    shown = []
    display = types.SimpleNamespace(HTML=str, Javascript=str, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(utils, "colab_check", lambda: True)
    monkeypatch.setattr(utils, "ipython_check", lambda: True)
    monkeypatch.delenv("GRADIO_DEBUG", raising=False)
    server = launch(tmp_path)
    try:
        port = re.search(r":(\d+)/?$", server.blocks.local_url)[1]
        (script,) = shown
        assert "google.colab.kernel.proxyPort" in script and f"({port}, " in script
        assert not server.blocks.share_url
    finally:
        server.close()


def test_a_scene_of_the_folder_is_looked_at(visitor):
    (shown,) = visitor.call("look", *form(name="scene.tif", dem_name="dem.tif"))["data"]
    assert "EPSG:32648" in shown and "128 x 128 pixels of 10 m" in shown
    (shown,) = visitor.call("look", *form(name="scene.tif"))["data"]
    assert 'role="alert"' in shown and "reads elevation; give the DEM" in shown


@pytest.mark.parametrize("name", ["../secret.tif", "/etc/passwd", "<b>/../../secret.tif"])
def test_files_beside_the_folder_are_not_read(served_page, visitor, name):
    # gradio refuses what its list does not hold; our own check is behind it, in test_places.py
    answer = visitor.call("look", *form(name=name))
    assert "error" in answer or "is not in the folder" in answer["data"][0]
    assert "EPSG" not in json.dumps(answer)


def test_paths_are_no_uploads(served_page, visitor):
    own = served_page.folder
    for path in ("/etc/passwd", own.parent / "x.tif", own / "jobs", f"{own}/uploads/../jobs/a.tif"):
        answer = visitor.call("look", *form(image=given(path)))
        assert "error" in answer or 'role="alert"' in answer["data"][0]
    for path in ("/etc/passwd", "../../etc/passwd", f"{ROOT}/setup.cfg",
                 f"{served_page.folder}/uploads/../jobs"):  # fmt: skip
        assert visitor.read(path) in (403, 404)


def test_a_broken_upload_is_a_sentence(visitor, tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(range(200)))
    (tmp_path / "text.tif").write_text("no picture")
    for name, words in (("broken.tif", "broken.tif: cannot be read"), ("text.tif", "is no TIFF")):
        upload, _ = visitor.upload(tmp_path / name)
        (shown,) = visitor.call("look", *form(image=upload))["data"]
        assert 'role="alert"' in shown and words in shown
        assert "/uploads/" not in shown


def test_an_upload_beyond_the_limit_is_refused(visitor, tmp_path):
    (tmp_path / "large.tif").write_bytes(b"II*\0" + bytes(2 * 2**20))
    assert visitor.upload(tmp_path / "large.tif") == (None, 413)


def test_two_users_do_not_see_each_other(served_page, visitor):
    other = Visitor(served_page)
    job = visitor.call("begin", *form(name="scene.tif", dem_name="dem.tif"))["data"][0]
    assert served_page.jobs.get(job) is not None
    for guess in ("", "a", job[:-1], job + "=", "../" + job):
        said = other.call("tick", guess)["data"]
        assert job not in json.dumps(said) and "scene.tif" not in json.dumps(said)
    end = time.monotonic() + 120
    while served_page.jobs.get(job).state != "done":
        assert time.monotonic() < end
        time.sleep(0.1)
    # the map's files cannot be asked for by their path, not even by who made it
    for name in ("map/landslides.gpkg", "map/probability.tif"):
        assert (served_page.folder / "jobs" / job / name).exists()
        for person in (visitor, other):
            assert person.read(served_page.folder / "jobs" / job / name) == 403
    # an area that cannot be is a sentence, and leaves the polygons on the map as they are
    said, _, polygons = visitor.call("redraw", job, 0.5, -5)["data"]
    assert "must be at least 0 m2" in said and polygons == ""


def test_bad_options_are_one_line(tmp_path, capsys):
    for words, message in (
        (["--runs", str(tmp_path / "none")], "is no folder"),
        (["--files", str(tmp_path / "none")], "is no folder"),
        (["--upload-mb", "0"], "--upload-mb must be at least 1"),
    ):
        assert main(["app", "--no-browser", *words]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a word")
def test_temporary_files_go_when_it_is_ended(tmp_path, number):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "TF_CPP_MIN_LOG_LEVEL": "2"}
    server = subprocess.Popen(
        [sys.executable, "-m", "landslide_tf", "app", "--no-browser", "--runs", str(tmp_path)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = server.stdout.readline()
        assert "the page is at http://127.0.0.1:" in line
        (folder,) = temporary.glob("landslide-app-*")
        (folder / "jobs/half.tif").write_bytes(b"a")
        server.send_signal(number)
        assert server.wait(60) == 0
    finally:
        server.kill()
    assert not folder.exists()
