"""Zip archives from elsewhere, unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from landslide_tf.checks import InputError, JobError
from landslide_tf.files import SCRATCH, disk_is_full

BYTES_LIMIT = 100 * 2**30
FILES_LIMIT = 500_000
# NotImplementedError is zipfile's word for a compression or encryption that it cannot read; the
# last three come from headers that are damaged.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error,
           lzma.LZMAError)  # fmt: skip


def unzip(archive, folder) -> None:
    """Unpack a zip archive into `folder`, which must not exist and appears when all is written.

    Raises:
        InputError: no zip archive, a damaged one, one with links, passwords or names that lead
            outside, one that unpacks to more than the limits.
        JobError: the disk is full, or will be.

    >>> with zipfile.ZipFile("tiles.zip", "w") as archive:
    ...     archive.writestr("landslide/image/a.png", b"...")
    >>> unzip("tiles.zip", "unpacked")
    >>> [str(path) for path in Path("unpacked").rglob("*.png")]
    ['unpacked/landslide/image/a.png']
    """
    archive, folder = Path(archive), Path(folder)
    scratch = folder.with_name(f"{SCRATCH}{os.getpid()}-{folder.name}")
    for left in folder.parent.glob(f"{SCRATCH}*-{folder.name}"):  # by a killed process
        shutil.rmtree(left)
    scratch.mkdir()
    try:
        with zipfile.ZipFile(archive) as file:
            targets = _targets(file, archive)
            need = sum(info.file_size for info in targets.values())
            if need > shutil.disk_usage(scratch).free:
                raise JobError(
                    f"{archive}: unpacks to {need / 2**30:.1f} GiB, more than the disk has free"
                )
            for parts, info in targets.items():
                target = scratch.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(info) as source, open(target, "xb") as copy:
                    shutil.copyfileobj(source, copy, 2**20)  # checks the size and the CRC
        scratch.rename(folder)
    except DAMAGED as error:
        raise InputError(f"{archive}: is not a whole zip archive ({error})") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(error.filename).name
        raise InputError(f"{archive}: {name!r} is both a file and a folder") from None
    except OSError as error:
        if disk_is_full(error):
            raise JobError(f"{archive}: the disk or your quota is full; free some space") from None
        if error.errno == errno.EINVAL:  # a place before the file's beginning
            raise InputError(f"{archive}: is not a whole zip archive") from None
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _targets(file: zipfile.ZipFile, archive: Path) -> dict:
    """The archive's files by the parts of their path; raises before anything is written."""
    targets, total = {}, 0
    for info in file.infolist():
        parts = info.filename.replace("\\", "/").split("/")
        is_folder = not parts[-1]
        if is_folder:
            parts.pop()
        if any(part in ("", ".", "..") or ":" in part for part in parts):
            raise InputError(f"{archive}: {info.filename!r} leads outside its folder; not unpacked")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{archive}: {info.filename!r} is a link or device; not unpacked")
        if info.flag_bits & 1:
            raise InputError(f"{archive}: is encrypted; not unpacked")
        if is_folder:  # those that hold files are made for them
            continue
        if tuple(parts) in targets:
            raise InputError(f"{archive}: holds {info.filename!r} twice; not unpacked")
        targets[tuple(parts)] = info
        total += info.file_size
        if len(targets) > FILES_LIMIT or total > BYTES_LIMIT:
            raise InputError(
                f"{archive}: unpacks to more than {FILES_LIMIT} files or "
                f"{BYTES_LIMIT / 2**30:.0f} GiB; not unpacked"
            )
    return targets
