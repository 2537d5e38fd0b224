"""The server of the page: where it listens, who may enter, and what it leaves behind (nothing)."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import ipaddress
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from landslide_tf.app.jobs import Jobs
from landslide_tf.checks import InputError, JobError
from landslide_tf.console import say


class Server:
    """A page that is served: its `url`, and `close`."""

    def __init__(self, blocks, jobs: Jobs, folder: Path, ending: contextlib.ExitStack):
        self.blocks, self.jobs, self.folder, self._ending = blocks, jobs, folder, ending
        self.url = blocks.share_url or blocks.local_url
        atexit.register(self.close)

    def close(self) -> None:
        """End the server, stop its maps, and delete its temporary files."""
        atexit.unregister(self.close)
        self._ending.close()


def launch(
    runs="runs",
    files=None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    password: str | None = None,
    share: bool = False,
    upload_mb: int = 500,
) -> Server:
    """Serve the page to map with; returns at once, with the server.

    Args:
        runs: folder with run folders in it; those below it are offered as models.
        files: folder of GeoTIFFs too large to upload, which the page may read; default none.
        host: address to listen on; another than this machine's own needs a password.
        port: default the first free one from 7860 on.
        password: asked of everyone, with any name.
        share: a public address through gradio's server. Without a password one is made up and
            printed. A notebook, on Colab too, shows the page below its cell without it.
        upload_mb: largest upload, MB.

    Raises:
        InputError: gradio is not installed, a folder is missing, no password, no free port.
        JobError: `share` was asked for, and gradio's server gives no public address.

    Example:
        >>> launch(host="0.0.0.0")
        Traceback (most recent call last):
            ...
        landslide_tf.checks.InputError: --host 0.0.0.0 lets others in: give a password ...
    """
    if not is_own_machine(host) and not password:
        raise InputError(
            f"--host {host} lets others in: give a password (--password, or LANDSLIDE_PASSWORD)"
        )
    for name, folder in (("runs", runs if runs != "runs" else None), ("files", files)):
        if folder is not None and not Path(folder).is_dir():
            raise InputError(f"--{name} {folder}: is no folder")
    if upload_mb < 1:
        raise InputError(f"--upload-mb must be at least 1. Received: {upload_mb}")
    missing = [name for name in ("gradio", "folium") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"the page needs {missing[0]}; pip install -r requirements-app.txt")
    from landslide_tf.app.page import build, theme
    from landslide_tf.app.site_folders import Site

    if share and not password:
        password = secrets.token_urlsafe(9)
        say(f"password of the page: {password}")
    with contextlib.ExitStack() as ending:
        folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="landslide-app-")))
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        folders = {name: folder / name for name in ("uploads", "examples", "jobs")}
        for path in folders.values():
            path.mkdir()
        ending.enter_context(_variables({
            "GRADIO_TEMP_DIR": str(folders["uploads"]),
            "GRADIO_EXAMPLES_CACHE": str(folders["examples"]), "GRADIO_ANALYTICS_ENABLED": "False",
        }))  # fmt: skip
        jobs = Jobs(folders["jobs"])
        ending.callback(jobs.close)
        blocks = build(Site(Path(runs), Path(files) if files else None, folder, jobs))
        ending.callback(blocks.close, verbose=False)
        try:
            blocks.launch(
                server_name=host, server_port=port, share=share, prevent_thread_lock=True,
                quiet=True, auth=_gate(password), auth_message="Any name; the password that the "
                "page was started with.", max_file_size=f"{upload_mb}mb", footer_links=[],
                theme=theme(), css_paths=Path(__file__).parent / "page.css", ssr_mode=False,
                pwa=False, mcp_server=False, enable_monitoring=False, debug=False,
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"--host {host} --port {port}: {error}") from None
        if share and not blocks.share_url:
            raise JobError("gradio gives no public address; start the page without share")
        return Server(blocks, jobs, folder, ending.pop_all())


def is_own_machine(host: str) -> bool:
    """Whether an address can be reached from this machine alone.

    >>> [is_own_machine(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "a.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _gate(password: str | None):
    """Who may enter: a function of name and password, or None for everyone."""
    if not password:
        return None
    return lambda _, given: secrets.compare_digest(given.encode(), password.encode())


@contextlib.contextmanager
def _variables(values: dict[str, str]):
    """Set environment variables within the block."""
    before = {name: os.environ.pop(name) for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)
