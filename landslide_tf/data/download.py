"""Public data sets: where they are and on what terms, fetched and unpacked."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from landslide_tf.checks import InputError, JobError, check_choice
from landslide_tf.console import say
from landslide_tf.data.fetch import HEADERS, TIMEOUT_S, RemoteFile, bytes_here, fetch, reason
from landslide_tf.data.unpack import unzip

ZENODO = "https://zenodo.org/api/records/"


@dataclass(frozen=True)
class DataSet:
    """A public data set; without `urls` and `zenodo` it can be had with a browser only."""

    title: str
    page: str
    terms: str
    by_hand: str  # what to fetch with a browser, and where to put it
    urls: tuple[str, ...] = ()
    zenodo: str | None = None  # number of the record, which lists files, sizes and hashes


DATA_SETS = {
    "bijie": DataSet(
        "Bijie landslide dataset: 770 tiles with landslide, 2003 without, RGB and DEM",
        "http://gpcv.whu.edu.cn/data/Bijie_pages.html",
        "no licence text is published: research use, do not redistribute; cite Ji et al. (2020), "
        "https://doi.org/10.1007/s10346-020-01353-2",
        "Bijie_landslide_dataset.zip from that page, or from (with a login) "
        "https://www.kaggle.com/datasets/hanstankman/bijie-landslidedataset; unzip it",
        urls=("https://gpcv.whu.edu.cn/data/Bijie_landslide_dataset.zip",),
    ),
    "landslide4sense": DataSet(
        "Landslide4Sense: 3799 tiles for training, 245 and 800 more; Sentinel-2, slope, DEM",
        "https://zenodo.org/records/10463239",
        "the licence on that page; cite Ghorbanzadeh et al. (2022), "
        "https://doi.org/10.1109/TGRS.2022.3215209",
        "TrainData.zip (and ValidData.zip, TestData.zip); unzip them",
        zenodo="10463239",
    ),
    "cas": DataSet(
        "CAS Landslide Dataset: 20,865 tiles of nine regions, satellite and UAV, no DEM; "
        "one folder a region, use with --fusion rgb",
        "https://zenodo.org/records/10294997",
        "the licence on that page; cite Xu et al. (2024), "
        "https://doi.org/10.1038/s41597-023-02847-z",
        "the zip files of the regions you need; unzip them",
        zenodo="10294997",
    ),
    "hr-gldd": DataSet(
        "HR-GLDD: tiles of ten events, PlanetScope, no DEM; NumPy arrays of four bands, which "
        "must be written as images/ and masks/ before use",
        "https://zenodo.org/records/7189381",
        "the licence on that page; cite Meena et al. (2023), "
        "https://doi.org/10.5194/essd-15-3283-2023",
        "trainX.npy, trainY.npy, valX.npy, valY.npy, testX.npy, testY.npy",
        zenodo="7189381",
    ),
    "mmls-v2": DataSet(
        "MMLSv2: Mars landslides, 465 tiles for training; RGB, DEM, slope and more",
        "https://huggingface.co/datasets/MarsLS/MMLSv2",
        "the licence on that page; cite Paheding et al. (2026), https://arxiv.org/abs/2602.08112",
        "all files; write bands 1 to 3 to images/, band 4 to dem/ and the masks to masks/",
    ),
}


def download(name: str, folder) -> Path:
    """Fetch a data set of `DATA_SETS` into `folder` and unpack it; prints its terms first.

    Complete files are kept and unfinished ones are continued, so a call after a failure goes on
    where the last one stopped. A zip file is unpacked into a folder of its name and then deleted.
    Returns `folder` as a `Path`.

    Raises:
        InputError: no such data set.
        JobError: it can be had with a browser only, or the download failed on the way.

    >>> download("bijii", "data")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: `name` must be one of 'bijie', 'landslide4sense', ...
    """
    check_choice("name", name, DATA_SETS)
    data_set, folder = DATA_SETS[name], Path(folder)
    by_hand = f"open {data_set.page} and put into {folder}: {data_set.by_hand}"
    say(f"{data_set.title}\n  page:  {data_set.page}\n  terms: {data_set.terms}")
    if not data_set.urls and data_set.zenodo is None:
        raise JobError(f"{name}: has no direct address; {by_hand}")
    try:
        files = [RemoteFile(url, PurePosixPath(url).name) for url in data_set.urls]
        if data_set.zenodo is not None:
            files, licence = read_zenodo(ZENODO + data_set.zenodo)
            say(f"  licence on Zenodo: {licence}")
        folder.mkdir(parents=True, exist_ok=True)
        todo = [file for file in files if not _target(folder, file).exists()]
        size = sum(file.size or 0 for file in todo)
        shown = f", {size / 2**20:,.0f} MiB" if size else ""
        say(f"{len(todo)} of {len(files)} files to fetch into {folder}{shown}")
        here = sum(bytes_here(folder / file.name) for file in todo)
        if size - here > shutil.disk_usage(folder).free:
            raise JobError(f"{folder}: the disk has not that much space free; choose another")
        for file in todo:
            fetch(file, folder / file.name)
            if _target(folder, file).name != file.name:
                _unpack(folder / file.name, _target(folder, file))
    except JobError as error:
        raise JobError(f"{error} (by hand: {by_hand})") from None
    return folder


def _target(folder: Path, file: RemoteFile) -> Path:
    return folder / (file.name[:-4] if file.name.lower().endswith(".zip") else file.name)


def _unpack(archive: Path, target: Path) -> None:
    say(f"unpacking {archive.name}")
    try:
        unzip(archive, target)
    except InputError as error:
        archive.unlink()  # else the next call would trust it
        raise JobError(f"{error}; it was removed") from None
    archive.unlink()


def read_zenodo(url: str) -> tuple[list[RemoteFile], str]:
    """The files of a Zenodo record, with sizes and MD5, and the name of its licence.

    `url` is the record's address in Zenodo's API, which answers with JSON.
    """
    import requests

    try:
        response = requests.get(url, headers=HEADERS, timeout=TIMEOUT_S)
        response.raise_for_status()
        record = response.json()
        files = [
            RemoteFile(
                file["links"]["self"], _plain_name(file["key"]), file["size"], file["checksum"]
            )
            for file in record["files"]
        ]
        licence = (record["metadata"].get("license") or {}).get("id", "none stated")
    except requests.RequestException as error:
        raise JobError(f"{url}: {reason(error)}; try again later") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{url}: does not answer as Zenodo does ({error!r})") from None
    return files, licence


def _plain_name(name: str) -> str:
    if name in ("", ".", "..") or re.search(r"[/\\:\0]", name):
        raise JobError(f"{name!r}: not a plain file name")
    return name
