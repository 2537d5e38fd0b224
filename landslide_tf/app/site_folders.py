"""The folders of one server, and what a person may choose from them."""

from __future__ import annotations

import hashlib
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from landslide_tf.app.jobs import Jobs
from landslide_tf.app.places import SUFFIXES, available_models, check_file, inside, listed
from landslide_tf.app.references import BESIDE
from landslide_tf.checks import InputError
from landslide_tf.data.demo import write_demo_scene, write_demo_tile

EXAMPLE = ("demo-rgb-dem (included)", 10.0)
QUIET = {"show_progress": "hidden", "api_visibility": "private"}  # no spinner, not in the API

# In the browser: what is typed beyond the ends of a slider is sent as the end that it then shows.
WITHIN = "Math.min(Math.max(share, 0.01), 0.99)"


@dataclass(frozen=True)
class Site:
    """What one server has: the folders it may read, its own folder, and its jobs."""

    runs: Path
    files: Path | None
    folder: Path
    jobs: Jobs
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uploads(self) -> Path:
        """Where gradio puts what is uploaded, and what may be downloaded."""
        return self.folder / "uploads"

    def models(self) -> dict[str, Path]:
        """The models on offer, by name."""
        return available_models(self.runs)

    def model(self, name) -> Path:
        """The run folder of a model on offer.

        Raises:
            InputError: there is none of this name.
        """
        found = self.models()
        if name not in found:
            none = f"no model: {self.runs} holds no complete run; train one (landslide train)"
            raise InputError("choose a model" if found else none)
        return found[name]

    def example_model(self, chosen) -> tuple[str, float | None]:
        """The model for the example scene, and the pixel (m) that it runs at; None: its own.

        A person's own run, or else the packaged model that does best on this synthetic scene.
        """
        if chosen in self.models() and chosen not in available_models(None):
            return chosen, None
        return EXAMPLE

    def file(self, uploaded, name, kind: str) -> Path | None:
        """The file that a person chose, by upload or by name, checked; None for neither.

        Raises:
            InputError: it is not there, not of this kind, or reads files elsewhere.
        """
        if name and self.files:
            return check_file(inside(self.files, name), kind, self.files)
        if isinstance(uploaded, list):
            uploaded = self._together(uploaded)
        if uploaded:
            path = inside(self.uploads, uploaded)
            return check_file(path, kind, path.parent)
        return None

    def _together(self, uploaded: list) -> Path | None:
        """The one file that was uploaded, or the files of a shapefile brought into one folder."""
        paths = [inside(self.uploads, path) for path in uploaded]
        if len(paths) < 2:
            return paths[0] if paths else None
        main = [path for path in paths if path.suffix.lower() == ".shp"]
        if len(main) != 1 or any(path.stem != main[0].stem for path in paths):
            raise InputError("the reference must be one file, or all files of one shapefile")
        key = hashlib.sha256("\n".join(sorted(map(str, paths))).encode()).hexdigest()
        folder = self.uploads / key
        folder.mkdir(exist_ok=True)
        for path in paths:
            if not (folder / path.name).exists():
                shutil.copyfile(path, folder / path.name)
        return folder / main[0].name

    def demo(self, kind: str) -> Path:
        """The folder of the example scene or tile; made when it is first asked for."""
        folder = self.folder / f"demo-{kind}"
        with self.lock:
            if not folder.is_dir():
                {"scene": write_demo_scene, "tile": write_demo_tile}[kind](folder)
        return folder


def choose_threshold(gr, label: str):
    """A slider for a threshold of probability, without a reset button (it would reset to 0.5)."""
    return gr.Slider(0.01, 0.99, 0.5, step=0.01, label=label, buttons=[])


def choose_file(gr, site: Site, label: str, kind: str):
    """An upload, and a list of the files of --files beside it: the two components."""
    several = kind == "reference"  # a shapefile is several files
    upload = gr.File(
        label=label, file_types=[*SUFFIXES[kind], *(BESIDE if several else ())], height=110,
        file_count="multiple" if several else "single", elem_classes="upload",
    )  # fmt: skip
    names = listed(site.files, kind)
    name = gr.Dropdown(
        [("–", ""), *((n, n) for n in names)], value="", visible=bool(names),
        label=f"{label}: or a file of the server",
    )  # fmt: skip
    return upload, name
