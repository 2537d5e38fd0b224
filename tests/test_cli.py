"""The command line: exit codes, one clear line for bad input, and the commands in a small form."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import write_raster, write_tiles
from landslide_tf.cli import main

ROOT = Path(__file__).parents[1]


def fails(capsys, *words, code=2):
    """Run a command that must fail with `code`; returns the one line it prints."""
    try:
        result = main([str(word) for word in words])
    except SystemExit as stop:  # argparse's own way
        result = stop.code
    error = capsys.readouterr().err
    assert result == code, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    return error


def test_no_command_prints_the_commands(capsys):
    assert main([]) == 2
    assert "evaluate" in capsys.readouterr().out


def test_help_of_every_command_has_no_errors(capsys):
    for words in ("train", "evaluate", "predict", "explain", "export", "map", "models", "app",
                  "study", "benchmark", "data", "data check", "data demo", "data split",
                  "data pack", "data download", "data tiles", "data stack"):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            main([*words.split(), "--help"])
        assert stop.value.code == 0
        assert "usage: landslide" in capsys.readouterr().out


def test_every_option_of_the_config_is_on_the_command_line(capsys):
    from landslide_tf.config import option_fields

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for field in option_fields():
        assert "--" + field.name.replace("_", "-") in text


def test_every_option_of_maps_and_tiles_is_on_the_command_line(capsys):
    from dataclasses import fields

    from landslide_tf.geo.settings import CutOptions, MapOptions

    for words, options in ((["map"], MapOptions), (["data", "tiles"], CutOptions)):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        text = capsys.readouterr().out
        for field in fields(options):
            name = "format" if field.name == "formats" else field.name.replace("_", "-")
            assert f"--{name}" in text


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from landslide_tf.cli import main\n"
        "try:\n"
        "    main(['train', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pandas', 'rasterio', 'matplotlib'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--model", "unett"], "`model` must be one of 'unet', 'resunet', 'unetpp'"),
        (["train", "--loss", "mse"], "`loss` must be one of 'auto', 'bce'"),
        (["train", "--epochs", "0"], "`epochs` must be at least 1"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--tile-px", "100"], "divisible by 16.*use 112 x 112"),
        (["train", "--model", "unet", "--deep-supervision"], "needs model 'unetpp'"),
        (["train", "--fusion", "rgb", "--terrain", "slope"], "needs the DEM"),
        (["train", "--wrong"], "--wrong"),
        (["evaluate", "absent"], "not a run folder"),
        (["data", "check", "absent"], "does not exist"),
    ],
)
def test_bad_options(capsys, words, message):
    assert re.search(message, fails(capsys, *words))


class TestBadData:
    """Each ends with exit code 2, one line that names the file, and no run folder."""

    @pytest.fixture
    def tiles(self, tmp_path):
        return write_tiles(tmp_path / "tiles", count=4)

    def train(self, capsys, folder, *more):
        out = folder.parent / "run"
        small = ("--tile-px", 32, "--filters", 2, "--epochs", 1)  # should it train after all
        line = fails(capsys, "train", "--data", folder, *small, "--out", out, *more)
        assert not out.exists()
        return line

    def first(self, tiles, kind):
        return sorted((tiles / "landslide" / kind).iterdir())[0]

    def test_missing_or_empty_folder(self, capsys, tmp_path):
        assert "does not exist" in self.train(capsys, tmp_path / "absent")
        (tmp_path / "empty").mkdir()
        assert "holds no tiles" in self.train(capsys, tmp_path / "empty")

    def test_no_pair_at_all(self, capsys, tmp_path):
        write_raster(tmp_path / "t/landslide/image/a.png", np.zeros((8, 8, 3), "uint8"))
        write_raster(tmp_path / "t/landslide/mask/b.png", np.zeros((8, 8), "uint8"))
        assert "no complete tile" in self.train(capsys, tmp_path / "t")

    def test_one_tile_that_does_not_pair(self, capsys, tiles):
        self.first(tiles, "mask").unlink()
        assert re.search(r"a000\.png: has no mask.*--skip-bad", self.train(capsys, tiles))

    def test_truncated_image(self, capsys, tiles):
        path = self.first(tiles, "image")
        path.write_bytes(path.read_bytes()[:-400])
        assert re.search(r"a000\.png: cannot be read", self.train(capsys, tiles))

    def test_mask_with_other_values(self, capsys, tiles):
        path = self.first(tiles, "mask")
        write_raster(path, np.array([[0, 100], [200, 255]], "uint8").repeat(16, 0).repeat(16, 1))
        assert re.search(
            r"mask values must be .* found 0, 100, 200, 255", self.train(capsys, tiles)
        )

    def test_mask_of_another_aspect(self, capsys, tiles):
        write_raster(self.first(tiles, "mask"), np.zeros((32, 64), "uint8"))
        assert "another shape" in self.train(capsys, tiles)

    def test_all_no_data(self, capsys, tiles):
        line = self.train(capsys, write_dark(tiles), "--nodata", 0)
        assert re.search(r"a000\.png: the tile is no data throughout.*--skip-bad", line)

    def test_dem_of_another_crs(self, capsys, tmp_path):
        where = {"transform": from_origin(0, 100, 1, 1)}
        for i in range(3):
            folder = tmp_path / "t/landslide"
            write_raster(
                folder / f"image/{i}.tif", np.ones((32, 32, 3), "uint8"), crs="EPSG:32648", **where
            )
            write_raster(
                folder / f"dem/{i}.tif", np.ones((32, 32), "float32"), crs="EPSG:32647", **where
            )
            write_raster(folder / f"mask/{i}.png", np.eye(32, dtype="uint8"))
        line = self.train(capsys, tmp_path / "t")
        assert re.search(r"dem/0\.tif: its CRS EPSG:32647 .*EPSG:32648.*reproject", line)

    def test_tiles_without_dem(self, capsys, tiles):
        self.first(tiles, "dem").unlink()
        assert re.search("1 of 4 tiles have no DEM.*--fusion rgb", self.train(capsys, tiles))

    def test_split_file(self, capsys, tiles, tmp_path):
        split = tmp_path / "split.json"
        assert "no such file" in self.train(capsys, tiles, "--split", split)
        split.write_text('{"train": ["a000"], "validation": ["zz9"], "test": []}')
        assert "'zz9'" in self.train(capsys, tiles, "--split", split)

    def test_out_that_cannot_be_written(self, capsys, tiles, tmp_path):
        (tmp_path / "file").write_text("")
        line = fails(
            capsys, "train", "--data", tiles, "--tile-px", 32, "--out", tmp_path / "file" / "run",
            code=2,
        )  # fmt: skip
        assert "file" in line


def write_dark(tiles):
    for path in (tiles / "landslide/image").iterdir():
        write_raster(path, np.zeros((32, 32, 3), "uint8"))
    return tiles


def test_data_commands(capsys, tmp_path, tiny_tiles):
    assert main(["data", "check", str(tiny_tiles)]) == 0
    assert "12 landslide tiles" in capsys.readouterr().out
    split = tmp_path / "split.json"
    words = ["data", "split", str(tiny_tiles), str(split), "--by", "group", "--test-prefix", "b"]
    # prefix b is the test part; what is left is one group, which cannot fill two parts
    assert "name the tiles in a file" in fails(capsys, *words)
    assert main([*words[:4], "--test-prefix", "b"]) == 0
    assert "5 train, 1 validation, 6 test" in capsys.readouterr().out
    assert "--overwrite" in fails(capsys, *words[:4])
    pack = tmp_path / "tiles.npz"
    assert main(["data", "pack", str(tiny_tiles), str(pack), "--tile-px", "32"]) == 0
    assert "12 tiles" in capsys.readouterr().out
    assert "--tile-px 32" in fails(capsys, "train", "--data", pack, "--out", tmp_path / "run")


def test_data_check_reports_problems_and_fails(capsys, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", count=3)
    (tiles / "landslide/mask/a000.png").unlink()
    assert main(["data", "check", str(tiles)]) == 2
    captured = capsys.readouterr()
    assert "a000.png: has no mask" in captured.out
    assert "1 problem" in captured.err


@pytest.mark.slow
def test_train_then_evaluate_then_predict(capsys, tmp_path, tiny_tiles):
    """The README's commands, in a small form, as a user types them."""
    run = tmp_path / "run"
    options = "--model unet --filters 2 --tile-px 32 --epochs 1 --fusion rgb".split()
    assert main(["train", "--data", str(tiny_tiles), *options, "--out", str(run)]) == 0
    assert "baseline background" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--recall", "0.9"]) == 0
    assert "landslides found" in capsys.readouterr().out
    out = tmp_path / "predicted"
    assert main(["predict", str(run), "--data", str(tiny_tiles), "--out", str(out)]) == 0
    assert len(list(out.glob("*_probability.tif"))) == len(list(out.glob("*_mask.tif"))) == 12
    assert "complete" in fails(capsys, "train", "--data", tiny_tiles, *options, "--out", run)


def test_tensorboard_that_is_not_installed(capsys, tmp_path, tiny_tiles, monkeypatch):
    from landslide_tf.training import recorder

    monkeypatch.setattr(recorder, "find_spec", lambda name: None if "board" in name else name)
    words = ("train", "--data", tiny_tiles, "--out", tmp_path / "run", "--tensorboard")
    assert "pip install tensorboard" in fails(capsys, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_tensorboard_log(tmp_path, tiny_tiles):
    pytest.importorskip("tensorboard", reason="needs requirements-dev.txt")
    run = tmp_path / "run"
    options = "--model unet --filters 2 --tile-px 32 --epochs 1 --tensorboard".split()
    assert main(["train", "--data", str(tiny_tiles), *options, "--out", str(run)]) == 0
    assert list((run / "tensorboard").glob("events.*"))


def test_augmentation_without_names_is_flips_and_light():
    from landslide_tf.cli.cmd_model import train_parser

    for words, found in (
        (["--augment", "--filters", "8"], ("flips", "light")),
        (["--augment", "scale"], ("scale",)),
        (["--augment", ""], ()),
    ):
        assert train_parser().parse_args(words).augment == found


def test_geojson_is_short_for_a_format():
    from landslide_tf.cli import all_commands

    words = ["map", "--model", "m", "--image", "i", "--out", "o", "--geojson"]
    assert all_commands().parse_args(words).formats == "gpkg,geojson"
