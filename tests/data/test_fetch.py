"""Downloads from a local server that breaks off, changes its files, or knows no ranges."""

import errno
import hashlib
import http.server
import json
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from landslide_tf.checks import JobError
from landslide_tf.data import fetch as fetching
from landslide_tf.data.fetch import RemoteFile, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)


@dataclass
class Site:
    """What the local server does; `seen` are the headers of the requests it got."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    length: bool = True
    # bytes sent before a request is cut off; whole chunks, as part of one is not kept
    breaks: list = field(default_factory=list)
    codes: list = field(default_factory=list)  # answers before the first 200
    seen: list = field(default_factory=list)
    url: str = ""

    def answer(self, request):
        self.seen.append(dict(request.headers))
        if self.codes:
            request.send_error(self.codes.pop(0))
            return
        start = self.range_of(request)
        if start is not None and start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = self.content[start or 0 :]
        request.send_response(200 if start is None else 206)
        if start is not None:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        for name, value in (("ETag", self.etag), ("Last-Modified", self.modified)):
            if value:
                request.send_header(name, value)
        if self.length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.breaks.pop(0)] if self.breaks else body)

    def range_of(self, request):
        asked = request.headers.get("Range")
        if asked is None or not self.ranges:
            return None
        if self.if_range and request.headers.get("If-Range") not in (
            None, self.etag, self.modified
        ):  # fmt: skip
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def file(self, **options):
        return RemoteFile(self.url + "/a.bin", "a.bin", **options)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE_S", 0)
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            site.answer(self)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()


def note(folder, site, etag):
    """What says that a.bin.part is the beginning of the file with this ETag."""
    content = {"url": site.file().url, "validator": etag}
    (folder / "a.bin.part.json").write_text(json.dumps(content))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(site):
    return [seen.get("Range") for seen in site.seen]


def test_a_file_arrives(site, tmp_path):
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"] and ranges(site) == [None]
    assert site.seen[0]["Accept-Encoding"] == "identity"
    fetch(site.file(), tmp_path / "a.bin")  # there already
    assert len(site.seen) == 1


def test_a_broken_transfer_goes_on_where_it_stopped(site, tmp_path):
    site.breaks = [98_304, 65_536]
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(site) == [None, "bytes=98304-", "bytes=163840-"]
    assert site.seen[1]["If-Range"] == '"one"'


def test_a_later_call_goes_on_too(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    site.breaks = [196_608, 0]
    with pytest.raises(JobError, match="a.bin: .*run the same command to go on"):
        fetch(site.file(), tmp_path / "a.bin")
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:196_608]
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    assert ranges(site)[-1] == "bytes=196608-"


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_meanwhile_starts_anew(if_range, site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    site.breaks = [196_608, 0]
    with pytest.raises(JobError):
        fetch(site.file(), tmp_path / "a.bin")
    monkeypatch.setattr(fetching, "ATTEMPTS", 2)
    site.content, site.etag, site.if_range = CONTENT[::-1], '"two"', if_range
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT[::-1]
    # shorter than what was there
    (tmp_path / "a.bin").rename(tmp_path / "a.bin.part")
    note(tmp_path, site, '"two"')
    site.content, site.etag = CONTENT[:1000], '"three"'
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT[:1000]


def test_last_modified_serves_where_there_is_no_strong_etag(site, tmp_path):
    site.etag, site.modified = 'W/"weak"', "Mon, 05 Jan 2026 10:00:00 GMT"
    site.breaks = [98_304]
    fetch(site.file(), tmp_path / "a.bin")
    assert site.seen[1]["If-Range"] == site.modified
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_without_a_name_for_the_version_only_a_hash_allows_to_go_on(site, tmp_path):
    site.etag, site.breaks = None, [98_304]
    fetch(site.file(), tmp_path / "a.bin")
    assert ranges(site) == [None, None]
    site.breaks = [98_304]
    digest = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    fetch(site.file(digest=digest), tmp_path / "b.bin")
    assert ranges(site)[2:] == [None, "bytes=98304-"]
    assert (tmp_path / "b.bin").read_bytes() == (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges(site, tmp_path):
    site.ranges, site.breaks = False, [98_304, 245_760]
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    # it never gets further than this: no endless repetition
    site.breaks, site.seen = [98_304] * 20, []
    with pytest.raises(JobError, match="go on"):
        fetch(site.file(), tmp_path / "b.bin")
    assert len(site.seen) == 1 + fetching.ATTEMPTS


def test_a_server_that_does_not_say_how_long_the_file_is(site, tmp_path):
    site.length = False
    fetch(site.file(size=len(CONTENT)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    site.content = CONTENT[:-1]
    with pytest.raises(JobError, match="299999 bytes, expected 300000"):
        fetch(site.file(size=len(CONTENT)), tmp_path / "b.bin")


def test_a_transfer_that_was_whole_is_only_verified(site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    note(tmp_path, site, '"one"')
    fetch(site.file(), tmp_path / "a.bin")
    assert ranges(site) == ["bytes=300000-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["", "[]", '{"url": "http://elsewhere", "validator": "x"}'])
def test_what_was_begun_elsewhere_is_not_trusted(text, site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"other")
    (tmp_path / "a.bin.part.json").write_text(text)
    fetch(site.file(), tmp_path / "a.bin")
    assert ranges(site) == [None] and (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(site, tmp_path, capsys):
    site.codes = [503, 429]
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert "503 Service Unavailable; trying again" in capsys.readouterr().out


@pytest.mark.parametrize("code", [404, 403])
def test_a_refusal_is_final(code, site, tmp_path):
    site.codes = [code]
    with pytest.raises(JobError, match=f"a.bin: the server answers {code}"):
        fetch(site.file(), tmp_path / "a.bin")
    assert len(site.seen) == 1 and names(tmp_path) == []


def test_no_server(site, tmp_path):
    with pytest.raises(JobError, match="go on") as error:
        fetch(RemoteFile("http://127.0.0.1:1/a", "a"), tmp_path / "a")
    assert "refused" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(JobError, match="nowhere"):
        fetch(RemoteFile("nowhere", "a"), tmp_path / "a")


def test_a_wrong_hash(site, tmp_path):
    md5 = hashlib.md5(CONTENT).hexdigest()
    fetch(site.file(digest=f"md5:{md5}", size=len(CONTENT)), tmp_path / "a.bin")
    with pytest.raises(JobError, match="not the file that was published.*" + "0" * 32):
        fetch(site.file(digest="md5:" + "0" * 32), tmp_path / "b.bin")
    assert not (tmp_path / "b.bin").exists() and not (tmp_path / "b.bin.part").exists()


def test_a_wrong_size_is_refused_before_the_transfer(site, tmp_path):
    with pytest.raises(JobError, match="has 300000 bytes, 5 were published"):
        fetch(site.file(size=5), tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_a_full_disk(site, tmp_path, monkeypatch):
    monkeypatch.setattr(
        fetching.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
    )
    with pytest.raises(JobError, match="a.bin.part: the disk or your quota is full; free"):
        fetch(site.file(), tmp_path / "a.bin")
    monkeypatch.undo()
    monkeypatch.setattr(fetching, "PAUSE_S", 0)
    fetch(site.file(), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
