"""Damage files of every kind and read them: each must be read, or refused in one line.

    python tests/fuzz.py --minutes 60

Hypothesis chooses where a file is cut off, which bits flip, what is overwritten. Each kind of file
is read in a process of its own, so that a crash or an endless loop inside GDAL or HDF5 is a finding
like any other. A raster that is cut off and read all the same must hold what the whole one holds.
Findings are printed, and their files kept in the folder that is named at the end. pytest does not
collect this.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/geo")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
from fuzz_files import make_files  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from landslide_tf.checks import InputError, JobError  # noqa: E402

EXAMPLES, FEW = 300, 12  # of a kind of file in one process; of one that takes seconds to read
SLOW = ("run", "evaluate", "resume", "map", "study")
SECONDS, GIB = 120, 8  # that one file may take
SHAPES = ("gpkg", "geojson", "kml", "csv", "gml", "fgb")


# ---- files and how they are read -----------------------------------------------------------------


def call(module: str, name: str, *rest, of=lambda path: path):
    """A function of the package on what `of` says of the path; imported where it is called."""

    def read(path):
        return getattr(importlib.import_module(f"landslide_tf.{module}"), name)(of(path), *rest)

    return read


def rasters(kind):
    """Read as 'image', 'dem' or 'mask'."""
    from landslide_tf.data.index import Sample
    from landslide_tf.data.tile import read_file
    from landslide_tf.inputs.spec import InputSpec

    def read(path):
        raster = read_file(Sample("a", path, path, path), kind, InputSpec())
        return raster.values[raster.valid], raster.valid

    return read


def shapes(path):
    from landslide_tf.data.opening import open_raster
    from landslide_tf.geo.overlay import Grid, open_labels

    with open_raster(WHOLE / "image.tif") as file:
        open_labels(path, Grid(file))


def command(*words):
    """The command line: what it raises is a finding, whatever it prints is one line."""
    from landslide_tf.cli import main

    def read(path):
        with contextlib.redirect_stderr(io.StringIO()) as told:
            code = main([str(word).format(path=path, folder=path.parent) for word in words])
        errors = [line for line in told.getvalue().splitlines() if line.startswith("error: ")]
        assert code == 0 or len(errors) == 1, told.getvalue()

    return read


def study(path):
    from landslide_tf.study.experiments import read_study, split_file
    from landslide_tf.study.records import read_record, read_results
    from landslide_tf.study.tables import table1

    found = read_study(path.parent)
    if found is not None:
        split_file(found, path.parent)
        for record in path.parent.glob("*/config.json"):
            read_record(record.parent)
        results = read_results(found, path.parent)
        table1(results)


def counts(path):
    from landslide_tf.training.tile_scores import read_tile_scores

    read_tile_scores(path).counts(0.5)


def pack(path):
    from landslide_tf.data.arrays import load_tiles, packed_tiles

    packed_tiles(path)
    load_tiles(path, tile_px=32)


def split(path):
    from landslide_tf.data.arrays import load_tiles
    from landslide_tf.data.split import make_split

    global TILES
    if TILES is None:
        TILES = load_tiles(WHOLE / "tiles.npz", tile_px=32)
    make_split(TILES, str(path), 0)


TILES = None
RASTERS = [("image", f"image.{s}") for s in ("tif", "png", "jpg", "bmp", "jp2", "vrt", "h5")]
RASTERS += [("image", "deflate.tif"), ("dem", "dem.tif"), ("dem", "dem.asc"), ("dem", "dem.img")]
RASTERS += [("dem", "image.h5"), ("mask", "mask.tif"), ("mask", "mask.png"), ("mask", "mask.h5")]
READERS = {  # name: (file below the folder of whole ones, how it is read, what lies beside it)
    **{f"{kind} {name}": (name, rasters(kind), ()) for kind, name in RASTERS},
    **{f"shapes.{suffix}": (f"shapes.{suffix}", shapes, ()) for suffix in SHAPES},
    **{f"shapes.{s}": (f"shp/shapes.{s}", lambda path: shapes(path.with_suffix(".shp")), ("shp",))
       for s in ("shp", "shx", "dbf", "prj", "cpg")},
    "shapes.zip": ("shapes.zip", shapes, ()),
    "pack": ("tiles.npz", pack, ()),
    "archive": ("tiles.zip", lambda p: call("data.unpack", "unzip", p.with_name("new"))(p), ()),
    "list": ("scenes.txt", call("geo.job", "read_list", None), ()),
    "split file": ("run/split.json", split, ()),
    "history.csv": ("run/history.csv", call("training.recorder", "read_history"), ()),
    "tile_scores.npz": ("run/tile_scores.npz", counts, ()),
    **{f"run {name}": (f"run/{name}", call("runs.run", "load_run", of=lambda p: p.parent), ("run",))
       for name in ("config.json", "input.json", "metrics.json", "split.json", "model.keras")},
    **{f"evaluate {name}": (f"run/{name}", command("evaluate", "{folder}"), ("run",))
       for name in ("config.json", "input.json", "metrics.json", "split.json")},
    **{f"resume {name}": (f"half/{name}", lambda path: resume(path), ("half",))
       for name in ("config.json", "split.json", "checkpoint/state.npz", "checkpoint/best-0001.npz",
                    "history.csv", "environment.json")},
    "study.json": ("study.json", study, ("run",)),
    **{f"study {name}": (f"unet-none-dice-seed0/{name}", lambda p: study(p.parent / "study.json"),
                         ("study.json", "unet-none-dice-seed0"))
       for name in ("metrics.json", "environment.json", "history.csv", "split.json")},
    "map report.json": ("map/report.json", command("map", "--from", "{folder}", "--threshold", 0.4,
                                                   "--out", "{folder}/new"), ("map",)),
    "map probability.tif": ("map/probability.tif", command("map", "--from", "{folder}",
                            "--threshold", 0.4, "--out", "{folder}/new"), ("map",)),
}  # fmt: skip


def resume(path):
    from landslide_tf.training.recipe import build
    from landslide_tf.training.recorder import Recorder, load_best
    from landslide_tf.training.run_folder import check_folder, read_config

    folder = path.parent if (path.parent / "config.json").exists() else path.parents[1]
    config = read_config(folder)
    check_folder(folder, config, resume=True, overwrite=False)
    if config.filters > 64 or config.input.tile_px > 1024:  # a legal option that takes minutes
        return
    model = build(config)
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    Recorder(config, folder, tensorboard=False).restore(model)
    load_best(folder, model)


# ---- damage --------------------------------------------------------------------------------------


def cut(whole: bytes, where: float) -> bytes:
    return whole[: int(where * len(whole))]


def flip(whole: bytes, bits) -> bytes:
    damaged = bytearray(whole)
    for where, bit in bits:
        damaged[int(where * len(damaged))] ^= 1 << bit
    return bytes(damaged)


def overwrite(whole: bytes, where: float, put: bytes) -> bytes:
    start = int(where * len(whole))
    return whole[:start] + put + whole[start + len(put) :]


def splice(whole: bytes, a: float, b: float) -> bytes:
    """What lies between two places is lost, or there twice."""
    return whole[: int(a * len(whole))] + whole[int(b * len(whole)) :]


PLACE = st.floats(0, 1, exclude_max=True)
HEAD = st.floats(0, 0.02)  # headers say most
ANYWHERE = PLACE | HEAD
BITS = st.lists(st.tuples(ANYWHERE, st.integers(0, 7)), min_size=1, max_size=9)
WORDS = [b"-1", b"null", b"[]", b"{}", b'"a"', b"1e999", b"NaN", b"99999999999", b"\n", b"true"]
DAMAGE = st.one_of(
    st.tuples(st.just(cut), PLACE),
    st.tuples(st.just(flip), BITS),
    st.tuples(st.just(overwrite), ANYWHERE, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just(overwrite), ANYWHERE, st.sampled_from([b"\0" * 64, b"\xff" * 64, *WORDS])),
    st.tuples(st.just(splice), ANYWHERE, ANYWHERE),
)


def try_kind(name: str, folder: Path, number: int, examples: int) -> int:
    """Damage and read one kind of file; the first finding is raised. Returns the files tried."""
    relative, read, beside = READERS[name]
    whole = (WHOLE / relative).read_bytes()
    expected = read(WHOLE / relative) if name.startswith(("image", "dem", "mask")) else None
    tried = 0

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(DAMAGE)
    def check(damage):
        nonlocal tried
        how, *where = damage
        content = how(whole, *where)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for other in beside:
            copy = shutil.copytree if (WHOLE / other).is_dir() else shutil.copy
            copy(WHOLE / other, folder / other)
        path = folder / relative
        path.parent.mkdir(exist_ok=True, parents=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        if name == "image image.vrt":
            shutil.copy(WHOLE / "image.tif", folder)
        (folder / "how.txt").write_text(repr((name, how.__name__, where)))
        tried += 1
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process, however busy others are
        try:
            got = read(path)
        except (InputError, JobError) as error:
            assert "\n" not in str(error), f"more than a line: {error}"
            assert str(error).strip(), "says nothing"
            return
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if how is cut and expected is not None:
            alike = all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))
            assert alike, "a file that is cut off is read as something else"

    check()
    return tried


def worker(arguments) -> None:
    """One kind of file, in this process; writes what came out to `result.json`."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (GIB * 2**30,) * 2)
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)  # says where, and ends the process
    result, slow = {}, arguments.kind.startswith(SLOW)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            result["tried"] = try_kind(
                arguments.kind, arguments.folder / "now", arguments.seed, FEW if slow else EXAMPLES
            )
    except BaseException:
        result["finding"] = traceback.format_exc()
    (arguments.folder / "result.json").write_text(json.dumps(result))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="kinds of files whose name holds this")
    parser.add_argument("--folder", type=Path, help="where whole and damaged files lie")
    parser.add_argument("--kind", help=argparse.SUPPRESS)  # of a process that this one starts
    arguments = parser.parse_args()
    global WHOLE
    folder = arguments.folder = arguments.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    WHOLE = folder / "whole"
    if arguments.kind:
        worker(arguments)
        return 0
    if not WHOLE.exists():
        WHOLE.mkdir(parents=True)
        make_files(WHOLE)
    kinds = [name for name in READERS if arguments.only is None or arguments.only in name]
    order, tried, findings, number = random.Random(arguments.seed), 0, {}, arguments.seed
    end = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < end:
        for kind in order.sample(kinds, len(kinds)):
            if time.monotonic() > end:
                break
            number += 1
            (folder / "result.json").unlink(missing_ok=True)
            words = [sys.executable, __file__, "--folder", folder, "--kind", kind]
            done = subprocess.run([*map(str, words), "--seed", str(number)], capture_output=True)
            result = {"finding": f"crashed ({done.returncode})\n" + done.stderr.decode()[-3000:]}
            with contextlib.suppress(FileNotFoundError):
                result = json.loads((folder / "result.json").read_text())
            tried += result.get("tried", 0)
            finding = result.get("finding")
            if finding:
                last = finding.strip().splitlines()[-1][:100]
                if (kind, last) not in findings:
                    kept = folder / f"finding-{len(findings):03d}"
                    findings[kind, last] = kept
                    shutil.copytree(folder / "now", kept, symlinks=True)
                    (kept / "finding.txt").write_text(finding)
                    print(f"{kind}: {last}\n  {kept}", flush=True)
            else:
                print(f"{kind}: {result.get('tried')} files", flush=True)
    print(f"{tried} files tried, {len(findings)} findings in {folder}", flush=True)
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
