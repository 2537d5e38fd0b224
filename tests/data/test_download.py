"""Whole data sets from a local server: terms, files, unpacking, and the command."""

import hashlib
import json
import shutil
from types import SimpleNamespace

import pytest

from conftest import write_tiles
from landslide_tf.checks import InputError, JobError
from landslide_tf.cli import main
from landslide_tf.data import download as downloading
from landslide_tf.data import fetch as fetching
from landslide_tf.data.download import DATA_SETS, DataSet, download
from landslide_tf.data.index import find_samples


@pytest.fixture
def server(web, monkeypatch):
    """A folder that is on the web, and its address; what fails is tried again at once."""
    monkeypatch.setattr(fetching, "PAUSE_S", 0)
    return web


@pytest.fixture
def tiles_zip(server, tmp_path):
    """An archive of six tiles in Bijie's layout, with a wrapping folder, on the web."""
    write_tiles(tmp_path / "made/Bijie", count=6)
    return shutil.make_archive(server[0] / "tiles", "zip", tmp_path / "made")


def use(monkeypatch, **options):
    data_set = DataSet("Test tiles", "http://page", "free for tests", "tiles.zip", **options)
    monkeypatch.setitem(DATA_SETS, "bijie", data_set)


def test_one_archive(server, tiles_zip, tmp_path, monkeypatch, capsys):
    use(monkeypatch, urls=(server[1] + "tiles.zip",))
    folder = tmp_path / "bijie"
    assert main(["data", "download", "bijie", str(folder)]) == 0
    out = capsys.readouterr().out
    # the terms come before the download
    assert out.index("free for tests") < out.index("1 of 1 files") < out.index("data check")
    assert [path.name for path in folder.iterdir()] == ["tiles"]
    assert len(find_samples(folder).samples) == 6
    # again: nothing to do
    (server[0] / "tiles.zip").unlink()
    assert main(["data", "download", "bijie", str(folder)]) == 0
    assert "0 of 1 files" in capsys.readouterr().out


def record(server, *paths, **changes):
    """A Zenodo record of files on the local server."""
    files = [
        {
            "key": path.name,
            "size": path.stat().st_size,
            "checksum": "md5:" + hashlib.md5(path.read_bytes()).hexdigest(),
            "links": {"self": server[1] + path.name},
            **changes,
        }
        for path in paths
    ]
    content = {"files": files, "metadata": {"license": {"id": "cc-by-4.0"}}}
    (server[0] / "123").write_text(json.dumps(content))


def test_a_zenodo_record(server, tiles_zip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(downloading, "ZENODO", server[1])
    use(monkeypatch, zenodo="123")
    (server[0] / "notes.txt").write_text("notes")
    record(server, server[0] / "tiles.zip", server[0] / "notes.txt")
    folder = download("bijie", tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "tiles"]
    assert "licence on Zenodo: cc-by-4.0" in capsys.readouterr().out
    # the file on the server is not the one that was published
    (server[0] / "notes.txt").write_text("votes")
    with pytest.raises(JobError, match="notes.txt: is not the file that was published"):
        download("bijie", tmp_path / "other")
    record(server, server[0] / "notes.txt", key="../evil.txt")
    with pytest.raises(JobError, match="'../evil.txt': not a plain file name"):
        download("bijie", tmp_path / "other")
    record(server, server[0] / "notes.txt", size=2**60)
    with pytest.raises(JobError, match="the disk has not that much space free"):
        download("bijie", tmp_path / "other")
    assert not list(tmp_path.glob("**/evil*"))


def test_what_is_here_needs_no_more_space(server, tmp_path, monkeypatch):
    """Of 5 bytes 3 are here, so that 2 free bytes are enough and 1 is not."""
    monkeypatch.setattr(downloading, "ZENODO", server[1])
    use(monkeypatch, zenodo="123")
    (server[0] / "notes.txt").write_text("notes")
    record(server, server[0] / "notes.txt")
    (tmp_path / "notes.txt.part").write_text("not")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(JobError, match="the disk has not that much space free"):
        download("bijie", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2))
    download("bijie", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "notes"


@pytest.mark.parametrize("answer", ["no JSON", "[]", '{"files": [{"key": "a"}]}', '{"files": 1}'])
def test_an_answer_that_is_no_record(answer, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "ZENODO", server[1])
    use(monkeypatch, zenodo="123")
    (server[0] / "123").write_text(answer)
    with pytest.raises(JobError, match="/123: .*by hand: open http://page"):
        download("bijie", tmp_path / "out")
    (server[0] / "123").unlink()
    with pytest.raises(JobError, match="/123: 404.*by hand"):
        download("bijie", tmp_path / "out")


def test_a_page_in_place_of_the_archive_is_not_kept(server, tmp_path, monkeypatch):
    use(monkeypatch, urls=(server[1] + "tiles.zip",))
    (server[0] / "tiles.zip").write_text("<html>please log in</html>")
    with pytest.raises(JobError, match="tiles.zip: is not a whole zip archive.*removed.*by hand"):
        download("bijie", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_failures_say_how_to_fetch_by_hand(server, tmp_path, monkeypatch, capsys):
    use(monkeypatch, urls=(server[1] + "gone.zip",))
    assert main(["data", "download", "bijie", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "answers 404" in error and f"put into {tmp_path}/out: tiles.zip" in error
    assert error.count("\n") == 1
    use(monkeypatch)  # no address at all
    with pytest.raises(JobError, match=r"no direct address; open http://page and put into .*: t"):
        download("bijie", tmp_path / "out")
    with pytest.raises(InputError, match="`name` must be one of 'bijie'"):
        download("bijou", tmp_path / "out")


def test_an_interruption_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading, "fetch", interrupt)
    assert main(["data", "download", "bijie", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == "error: interrupted; run the same command to go on\n"


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_table_is_complete(name):
    data_set = DATA_SETS[name]
    assert data_set.page.startswith("http") and "cite" in data_set.terms and data_set.by_hand
    assert all(url.startswith("https://") and url.endswith(".zip") for url in data_set.urls)
    if data_set.zenodo is not None:
        assert data_set.page.endswith("/" + data_set.zenodo)
