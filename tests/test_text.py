"""Lists, file names, terminals and consoles of every kind."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import write_raster, write_tiles
from landslide_tf.checks import InputError
from landslide_tf.cli import main, run
from landslide_tf.console import say, whole_streams
from landslide_tf.geo.job import read_list

ROOT = Path(__file__).parents[1]
# ---- lists of scenes ---------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters="/\ufeff\"'\\"),
    min_size=1, max_size=12,
).filter(lambda name: name not in (".", "..") and not name.startswith("#"))  # fmt: skip
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])


@given(st.lists(NAMES, min_size=1, max_size=4), ENCODINGS, st.sampled_from(["\n", "\r\n", "\r"]))
@example(["Gelände Süd.tif"], "utf-16", "\r\n")
def test_lists_come_back_from_every_encoding_and_line_end(names, encoding, end):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        text = end.join(f'"{name}"' for name in names) + end
        path.write_bytes(text.encode(encoding))
        assert read_list(path, "dem.tif") == [(f"{folder}/{name}", "dem.tif") for name in names]


@given(st.binary(max_size=60))
@example(b"\xff\xfes\0.\0t")
@example("s.tif\r\n".encode("utf-16-le"))  # no mark
@example(b"G\xe4.tif")
def test_a_list_of_any_bytes_is_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(data)
        try:
            assert read_list(path, None)
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_what_people_write_into_lists(tmp_path):
    for name in ("a,b.tif", "#1.tif", os.fsdecode(b"G\xe4.tif"), "it's.tif"):
        (tmp_path / name).write_text("")
    lines = [
        b"# Gel\xe4nde, in Latin-1",
        b"",
        b"  s.tif  ",
        b's.tif,"d.tif"',
        b'"C,1/s.tif" , d.tif',
        b"'my scene.tif'",
        b"a,b.tif",  # a file of that very name
        b"#1.tif",
        b"it's.tif",
        b"G\xe4.tif",  # the bytes of the name as they are on the disk
    ]
    (tmp_path / "list.txt").write_bytes(b"\n".join(lines))
    found = [
        tuple(file and os.path.relpath(file, tmp_path) for file in pair)
        for pair in read_list(tmp_path / "list.txt", None)
    ]
    assert found == [
        ("s.tif", None),
        ("s.tif", "d.tif"),
        ("C,1/s.tif", "d.tif"),
        ("my scene.tif", None),
        ("a,b.tif", None),
        ("#1.tif", None),
        ("it's.tif", None),
        (os.fsdecode(b"G\xe4.tif"), None),
    ]


def test_absolute_paths_stay(tmp_path):
    (tmp_path / "list.txt").write_text('"/data/s.tif","/data/d.tif"\n')
    assert read_list(tmp_path / "list.txt", None) == [("/data/s.tif", "/data/d.tif")]


def test_lines_that_a_spreadsheet_filled_up(tmp_path):
    (tmp_path / "list.csv").write_text("/a.tif,/d.tif,,\n/b.tif,,,\n")
    assert read_list(tmp_path / "list.csv", "d") == [("/a.tif", "/d.tif"), ("/b.tif", "d")]
    (tmp_path / "list.csv").write_text(",/d.tif,\n")
    with pytest.raises(InputError, match="line 1 is not"):
        read_list(tmp_path / "list.csv", "d")


def test_a_list_that_powershell_wrote_is_mapped(constant_run, make_scene, tmp_path):
    image, dem = make_scene()
    (tmp_path / "list.txt").write_bytes(f'"{image}"\r\n'.encode("utf-16"))
    words = ["map", "--model", constant_run, "--scenes", tmp_path / "list.txt", "--dem", dem]
    assert main([*map(str, words), "--out", str(tmp_path / "maps")]) == 0
    assert (tmp_path / "maps/scene/report.json").is_file()


# ---- file names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b", "a!b", "a#b", "a%20b", "ä", "a,b", "[a]", "a'b", "-a"])
def test_tiles_of_any_name_are_read(name, tmp_path, capsys):
    tiles = write_tiles(tmp_path / name, count=3)
    for kind in ("image", "dem", "mask"):
        (tiles / f"landslide/{kind}/a000.png").rename(tiles / f"landslide/{kind}/{name}.png")
    assert main(["data", "check", f"{tmp_path}/{name}"]) == 0
    assert "3 landslide tiles" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
def test_a_name_that_is_not_utf_8_is_named(constant_run, make_scene, tmp_path, capsys):
    tiles = write_tiles(tmp_path / "tiles", count=3)
    strange = os.fsdecode(b"G\xe4")
    for kind in ("image", "dem", "mask"):
        (tiles / f"landslide/{kind}/a000.png").rename(tiles / f"landslide/{kind}/{strange}.png")
    assert main(["data", "check", str(tiles)]) == 2
    assert "the name is not in UTF-8; rename" in capsys.readouterr().out
    image, dem = make_scene()
    words = ["map", "--model", str(constant_run), "--image", str(image.rename(tmp_path / strange)),
             "--dem", str(dem), "--out", str(tmp_path / "map")]  # fmt: skip
    assert main(words) == 2
    assert "the name is not in UTF-8; rename" in capsys.readouterr().err


# ---- terminals and consoles --------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding, shown", [("ascii", "? ?"), ("cp1252", "\x85 ?"), ("utf-8", "… 山")]
)
def test_what_a_terminal_cannot_show_is_replaced(encoding, shown, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    say("… 山")
    expected = shown.encode("latin-1" if encoding == "cp1252" else encoding) + b"\n"
    assert raw.getvalue() == expected
    assert sys.stdout.errors == "strict"  # as it was


def test_a_name_of_other_bytes_can_be_printed(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))
    say("G\udce4.tif")
    assert raw.getvalue() == b"G?.tif\n"


def test_streams_that_are_missing_come_and_go(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    say("nobody reads this")
    with whole_streams():
        print("nor this", file=sys.stderr)
        assert not sys.stdout.isatty()
    assert sys.stdout is None and sys.stderr is None


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_commands_on_a_terminal_of_few_characters(encoding, tmp_path):
    tiles = write_tiles(tmp_path / "Gelände 山", count=3)
    done = subprocess.run(
        [sys.executable, "-m", "landslide_tf", "data", "check", str(tiles)],
        cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"3 landslide tiles" in done.stdout and b"Gel" in done.stdout


@pytest.mark.slow
def test_commands_without_stdout_and_stderr(tiny_tiles, constant_run, make_scene, tmp_path):
    """As in pythonw and in the consoles of some programs; file descriptors closed too."""
    image, dem = make_scene()
    code = (
        "import os, sys\n"
        "sys.stdout = sys.stderr = None\n"
        "os.close(1), os.close(2)\n"
        "from landslide_tf.cli import main\n"
        f"codes = [main(['data', 'check', r'{tiny_tiles}']),\n"
        f"  main(['map', '--model', r'{constant_run}', '--image', r'{image}', '--dem', r'{dem}',\n"
        f"    '--out', r'{tmp_path / 'map'}']),\n"
        f"  main(['train', '--data', r'{tiny_tiles}', '--out', r'{tmp_path / 'run'}',\n"
        "    '--filters', '2', '--tile-px', '32', '--epochs', '1', '--model', 'unet']),\n"
        "  main(['data', 'check', 'nowhere'])]\n"
        "sys.exit(0 if codes == [0, 0, 0, 2] else 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=600)
    assert done.returncode == 0
    assert (tmp_path / "map/report.json").is_file() and (tmp_path / "run/metrics.json").is_file()


# ---- notebooks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["data", "check", "nowhere"],  # bad input
        ["train", "--wrong"],  # a wrong option
        ["train", "--epochs", "many"],
        ["nothing"],
        [],
    ],
)
def test_a_notebook_gets_an_exception_that_can_be_caught(words, capsys):
    with pytest.raises(RuntimeError, match="exit code 2, see the line above"):
        run(words)


def test_help_in_a_notebook_is_no_error(capsys, tmp_path):
    run(["train", "--help"])
    assert "--attention" in capsys.readouterr().out
    run(["data", "check", write_tiles(tmp_path / "t", count=3)])  # paths need not be text


def test_a_tile_is_written_under_its_own_name(constant_run, tmp_path):
    write_raster(tmp_path / "t/images/a #1 ä.tif", np.full((16, 16, 3), 90, "uint8"))
    write_raster(tmp_path / "t/dem/a #1 ä.tif", np.eye(16, dtype="float32"))
    run(["predict", constant_run, "--data", tmp_path / "t", "--out", tmp_path / "p"])
    assert (tmp_path / "p/a #1 ä_mask.tif").is_file()
