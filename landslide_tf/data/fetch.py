"""Fetching a file from the web: it is resumed, verified, and appears when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from landslide_tf import __version__
from landslide_tf.checks import JobError
from landslide_tf.console import progress_bar, say
from landslide_tf.files import disk_is_full

ATTEMPTS = 5  # after this many attempts in a row without a new byte, `fetch` gives up
PAUSE_S = 1.0  # before the next attempt; doubles for each attempt in a row without a new byte
CHUNK = 2**14  # bytes written at once; what is incomplete is lost when the connection breaks
TIMEOUT_S = (20, 60)  # to connect; between two packets
# Not compressed on the way: ranges and sizes are those of the file.
HEADERS = {"User-Agent": f"landslide_tf/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch; size in bytes and digest ('md5:…') where the publisher gives them."""

    url: str
    name: str
    size: int | None = None
    digest: str | None = None


def fetch(file: RemoteFile, path) -> None:
    """Download one file to `path`, where it appears only when it is complete and verified.

    Until then it is `PATH.part`. A broken transfer continues where it stopped (HTTP range
    requests), now or at the next call, unless the server cannot do that or its file has changed.

    Raises:
        JobError: the server refuses, the connection is lost for good, the disk is full, the file
            is not the one that was published.
    """
    path = Path(path)
    if path.exists():
        return
    part = path.with_name(path.name + ".part")
    note = path.with_name(path.name + ".part.json")  # whose beginning `part` is
    failures, most = 0, _size(part)
    while True:
        try:
            _transfer(file, part, note)
            break
        except _Lost as error:
            failures = 0 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures == ATTEMPTS:
                raise JobError(f"{file.url}: {error}; run the same command to go on") from None
            say(f"{file.name}: {error}; trying again")
            time.sleep(PAUSE_S * 2**failures)
        except OSError as error:
            if disk_is_full(error):
                raise JobError(
                    f"{part}: the disk or your quota is full; free some space and run the same "
                    "command to go on"
                ) from None
            raise
    _verify(file, part)
    note.unlink(missing_ok=True)
    part.replace(path)


def bytes_here(path) -> int:
    """How many bytes of the file that `fetch` writes to `path` are here already."""
    path = Path(path)
    return _size(path) or _size(path.with_name(path.name + ".part"))


class _Lost(Exception):
    """A transfer that may go on at another attempt."""


def _transfer(file: RemoteFile, part: Path, note: Path) -> None:
    import requests
    from requests.exceptions import ChunkedEncodingError

    begun, headers = _begun(note, file.url), dict(HEADERS)
    # Without a validator or a digest, nothing shows that the file on the server is still the same.
    start = _size(part) if begun and (begun["validator"] or file.digest) else 0
    if start:
        headers["Range"] = f"bytes={start}-"
        if begun["validator"]:  # the rest of the same file, else all of the new one
            headers["If-Range"] = begun["validator"]
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if start and response.status_code == 416 and _content_range(response) == (None, start):
                return  # nothing beyond what is here
            start = _accepted_start(response, file, start, begun, part)
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else file.size
            if file.size is not None and total != file.size:
                raise JobError(f"{file.url}: has {total} bytes, {file.size} were published")
            if not start:
                part.unlink(missing_ok=True)
                content = {"url": file.url, "validator": _strong_validator(response)}
                note.write_text(json.dumps(content))
            with (
                open(part, "r+b" if start else "wb") as out,
                progress_bar(
                    desc=file.name, total=total, initial=start, unit="B", unit_scale=True
                ) as bar,
            ):
                out.seek(start)
                for chunk in response.iter_content(CHUNK):
                    out.write(chunk)
                    bar.update(len(chunk))
                out.truncate()
                out.flush()
                os.fsync(out.fileno())
    except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
        raise _Lost(reason(error)) from None
    except requests.RequestException as error:
        raise JobError(f"{file.url}: {reason(error)}") from None
    if total is not None and _size(part) < total:
        raise _Lost(f"the connection ended after {_size(part)} of {total} bytes")


def _content_range(response) -> tuple[int | None, int | None]:
    """First byte and size of the whole file, of 'bytes 5-9/10' or 'bytes */10'."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not found:
        return None, None
    return tuple(int(text) if text and text != "*" else None for text in found.groups())


def _accepted_start(response, file: RemoteFile, start: int, begun, part: Path) -> int:
    """Where in the file the answer begins: at `start`, or at 0."""
    code = response.status_code
    if code == 200:  # no ranges there, or the file has changed
        return 0
    if code in (206, 416) and start:
        # some servers know Range and not If-Range
        same = begun["validator"] in (None, _strong_validator(response))
        if code == 206 and same and _content_range(response)[0] == start:
            return start
        part.unlink()
        raise _Lost("the file has changed")
    if code in (408, 425, 429) or code >= 500:
        raise _Lost(f"the server answers {code} {response.reason}")
    raise JobError(f"{file.url}: the server answers {code} {response.reason}")


def _verify(file: RemoteFile, part: Path) -> None:
    if file.size is not None and _size(part) != file.size:
        found, expected = f"{_size(part)} bytes", f"{file.size}"
    elif file.digest is not None:
        algorithm, _, expected = file.digest.partition(":")
        with open(part, "rb") as content:
            found = hashlib.file_digest(content, algorithm).hexdigest()
    else:
        return
    if found != expected:
        part.unlink()
        raise JobError(
            f"{file.url}: is not the file that was published ({found}, expected {expected}); "
            "it was removed, try again later"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _strong_validator(response) -> str | None:
    """What names this version of the file: a strong ETag, or when it was changed."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _begun(note: Path, url: str) -> dict | None:
    """What was noted when the transfer of this file began."""
    try:
        content = json.loads(note.read_text())
        return content if content["url"] == url and "validator" in content else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def reason(error) -> str:
    """The innermost reason of an error of requests, in one line."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    return (str(getattr(error, "reason", "") or error) or type(error).__name__).splitlines()[0]
