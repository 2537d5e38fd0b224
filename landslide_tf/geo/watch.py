"""Following a map while it is made, and stopping it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from landslide_tf.checks import JobError


class Cancelled(JobError):
    """The map was stopped as asked; what is done is kept."""


@dataclass(frozen=True)
class Watch:
    """What is called while a map is made; all of it may be left out.

    `progress(stage, done, total)` hears of the stages 'windows' (of the model), 'polygons' (rows
    of the scene) and 'files'. `cancel()` is asked between batches of windows and between strips;
    where it says True, the map stops with `Cancelled` and `resume` goes on with it.

    >>> heard = []
    >>> Watch(progress=lambda *state: heard.append(state)).tell("windows", 8, 15)
    >>> heard
    [('windows', 8, 15)]
    >>> Watch(cancel=lambda: True).tell("windows", 8, 15)
    Traceback (most recent call last):
        ...
    landslide_tf.geo.watch.Cancelled: stopped as asked; continue with --resume
    """

    progress: Callable[[str, int, int], None] | None = None
    cancel: Callable[[], bool] | None = None

    def tell(self, stage: str, done: int, total: int) -> None:
        """Say how far a stage is.

        Raises:
            Cancelled: `cancel` says so.
        """
        if self.progress:
            self.progress(stage, done, total)
        if self.cancel and self.cancel():
            raise Cancelled("stopped as asked; continue with --resume")
