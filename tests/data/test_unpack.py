"""Archives are unpacked whole, inside their folder, or not at all."""

import shutil
import stat
import zipfile

import pytest

from landslide_tf.checks import InputError, JobError
from landslide_tf.data import unpack
from landslide_tf.data.unpack import unzip


def write_zip(path, files, modes=None):
    """A zip archive of {name: content}, with Unix modes for some."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is: ZipInfo would clean it
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(info, content)
    return path


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_archive_becomes_a_folder(tmp_path):
    files = {"set/": "", "set/landslide/image/a.png": "1", "read me.txt": "2", "名.txt": "3"}
    archive = write_zip(tmp_path / "a.zip", files, {"set/": stat.S_IFDIR | 0o755})
    (tmp_path / ".writing-1-a").mkdir()  # left by a process that was killed
    unzip(archive, tmp_path / "a")
    assert tree(tmp_path / "a") == {
        "set/landslide/image/a.png": b"1",
        "read me.txt": b"2",
        "名.txt": b"3",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.zip"]


def test_backslashes_separate_folders(tmp_path):
    unzip(write_zip(tmp_path / "a.zip", {"set\\image\\a.png": "1"}), tmp_path / "a")
    assert tree(tmp_path / "a") == {"set/image/a.png": b"1"}


def check_refused(archive, *parts, error=InputError):
    folder = archive.parent / "out" / "a"
    folder.parent.mkdir(exist_ok=True)
    with pytest.raises(error) as raised:
        unzip(archive, folder)
    message = str(raised.value)
    assert str(archive) in message and "\n" not in message
    for part in parts:
        assert part in message
    assert not list(folder.parent.iterdir())  # nothing, also nothing half-written
    assert not (archive.parent / "evil").exists()


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "a//evil", "./evil", "..", ".",
     "a/evil/..", "//server/evil"],
)  # fmt: skip
def test_names_that_lead_outside(name, tmp_path):
    check_refused(
        write_zip(tmp_path / "a.zip", {"good": "1", name: "2"}), f"zip: {name!r} leads outside"
    )


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(kind, tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"good": "1", "link": "/etc"}, {"link": kind | 0o777})
    check_refused(archive, "'link' is a link or device")


def test_limits(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", {"a": "x" * 1000, "b": "x" * 1000})
    monkeypatch.setattr(unpack, "FILES_LIMIT", 1)
    check_refused(archive, "more than 1 files")
    monkeypatch.setattr(unpack, "FILES_LIMIT", 2)
    monkeypatch.setattr(unpack, "BYTES_LIMIT", 1999)
    check_refused(archive, "more than")
    (tmp_path / "out").rmdir()
    monkeypatch.setattr(unpack, "BYTES_LIMIT", 2000)
    unzip(archive, tmp_path / "a")
    assert len(tree(tmp_path / "a")["b"]) == 1000


def test_more_than_the_disk_has_free(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", {"a": "x" * 1000})
    usage = type("Usage", (), {"free": 999})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check_refused(archive, "more than the disk has free", error=JobError)


def test_damaged_archives(tmp_path):
    (tmp_path / "page.zip").write_text("<html>please log in</html>")
    check_refused(tmp_path / "page.zip", "not a whole zip archive")
    (tmp_path / "empty.zip").write_bytes(b"")
    check_refused(tmp_path / "empty.zip", "not a whole zip archive")
    content = bytearray(write_zip(tmp_path / "a.zip", {"a": bytes(range(256)) * 40}).read_bytes())
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    check_refused(tmp_path / "cut.zip", "not a whole zip archive")
    content[80] ^= 0xFF  # within the compressed bytes
    (tmp_path / "bits.zip").write_bytes(content)
    check_refused(tmp_path / "bits.zip", "not a whole zip archive")


def test_a_file_that_claims_to_be_smaller(tmp_path):
    # 100 kB of zeros that say they are 10 bytes: what is beyond them is never written
    path = write_zip(tmp_path / "a.zip", {"a": bytes(100_000)})
    content = path.read_bytes()
    size, lie = (100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, lie))
    check_refused(path, "not a whole zip archive")


def test_twice_the_same_name_and_a_file_that_is_a_folder(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(
        tmp_path / "a.zip", "w"
    ) as archive:  # fmt: skip
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    check_refused(tmp_path / "a.zip", "holds 'a' twice")
    check_refused(write_zip(tmp_path / "b.zip", {"a": "1", "a/b": "2"}), "'a' is both")
    check_refused(write_zip(tmp_path / "c.zip", {"a/b": "1", "a": "2"}), "'a' is both")


def test_an_encrypted_archive(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a": "1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the archive's list
    path.write_bytes(content)
    check_refused(path, "encrypted")
