"""Make the API reference from docstrings: python -m docs.api, then open build/api/index.html."""

import pkgutil
from pathlib import Path

import pdoc

import landslide_tf

for name in landslide_tf.__all__:  # imported when first used; pdoc reads what is there
    setattr(landslide_tf, name, getattr(landslide_tf, name))
modules = [
    module.name
    for module in pkgutil.walk_packages(landslide_tf.__path__, "landslide_tf.")
    if not module.name.startswith(("landslide_tf.cli", "landslide_tf.__main__"))
]
pdoc.render.configure(docformat="google")
pdoc.pdoc("landslide_tf", *modules, output_directory=Path("build/api"))
