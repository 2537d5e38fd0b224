"""A web page to map with, without commands: `landslide app`, or `launch` on Colab."""

from __future__ import annotations


def launch(*arguments, **options):
    """Serve the page; see `landslide_tf.app.server.launch`, whose arguments it takes."""
    from landslide_tf.app import server

    return server.launch(*arguments, **options)
