"""The command that serves the web page: app."""

from __future__ import annotations

from landslide_tf.cli.options import import_keras_quietly, new_parser
from landslide_tf.console import say

EXAMPLES = """examples:
  landslide app
  landslide app --runs runs --files /data/scenes
  LANDSLIDE_PASSWORD=... landslide app --host 0.0.0.0

The page maps scenes, tries tiles and shows runs. It reads the folders of --runs and --files and
what is uploaded, and nothing else. Its own files go when it ends: download the maps before.
It serves this machine alone, unless --host and a password are given. The connection is not
encrypted: over a network that you do not trust, put a web server with HTTPS in front.
"""


def app_parser(commands):
    """Add the command `app`."""
    parser = new_parser(commands, "app", "Serve a web page to map with.", EXAMPLES)
    parser.add_argument("--runs", default="runs", metavar="DIR",
                        help="folder of run folders, the models (default: runs)")  # fmt: skip
    parser.add_argument("--files", metavar="DIR",
                        help="folder of GeoTIFFs that are too large to upload")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                        help="listen here; another than this machine needs a password")  # fmt: skip
    parser.add_argument("--port", type=int, metavar="N", help="default: a free one from 7860 on")
    parser.add_argument("--password", metavar="TEXT",
                        help="asked of everyone (default: $LANDSLIDE_PASSWORD, which other users "
                        "of the machine do not see)")  # fmt: skip
    parser.add_argument("--upload-mb", type=int, default=500, metavar="N",
                        help="largest upload (default: 500)")  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    parser.set_defaults(run=_app)


def _app(arguments) -> None:
    import os
    import signal
    import threading
    import webbrowser

    import_keras_quietly()
    from landslide_tf.app import launch
    from landslide_tf.app.server import is_own_machine

    ended = threading.Event()
    before = {
        name: signal.signal(name, lambda *_: ended.set())
        for name in (signal.SIGINT, signal.SIGTERM)
    }
    server = launch(
        arguments.runs, arguments.files, host=arguments.host, port=arguments.port,
        password=arguments.password or os.environ.get("LANDSLIDE_PASSWORD"),
        upload_mb=arguments.upload_mb,
    )  # fmt: skip
    try:
        say(f"the page is at {server.url} (Ctrl-C ends it)")
        if not arguments.no_browser and is_own_machine(arguments.host):
            webbrowser.open(server.url)
        while not ended.wait(1):  # Windows hears Ctrl-C between the waits
            pass
    finally:
        server.close()
        for name, handler in before.items():
            signal.signal(name, handler)
