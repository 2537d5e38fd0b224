"""What a user sees while a model trains: a bar within an epoch, and a short line after it."""

from __future__ import annotations

import keras

from landslide_tf.console import progress_bar, say
from landslide_tf.training.recorder import Recorder


class Progress(keras.callbacks.Callback):
    """Shows a bar over the `steps` of each epoch (on a terminal) and a line after each epoch.

    It must come after the `Recorder` in the list of callbacks, because it shows the recorder's last
    row.

    >>> from pathlib import Path
    >>> from landslide_tf.training.recorder import read_history
    >>> from landslide_tf.training.run_folder import read_config
    >>> recorder = Recorder(read_config("runs/first"), Path("runs/first"), tensorboard=False)
    >>> recorder.rows = read_history("runs/first/history.csv")
    >>> progress = Progress(recorder, steps=2)
    >>> progress.on_epoch_begin(2)
    >>> progress.on_epoch_end(2)
    epoch 3/3: loss ..., validation loss ..., validation mIoU ..., ... s
    """

    def __init__(self, recorder: Recorder, steps: int):
        super().__init__()
        self.recorder, self.steps = recorder, steps

    def on_epoch_begin(self, epoch, logs=None):
        """Show an empty bar."""
        title = f"epoch {epoch + 1}/{self.recorder.config.epochs}"
        self.bar = progress_bar(total=self.steps, desc=title, leave=False)

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        """Replace the bar by a line."""
        self.bar.close()
        row = self.recorder.rows[-1]
        say(
            f"epoch {row['epoch']}/{self.recorder.config.epochs}: loss {row['loss']:.4g}, "
            f"validation loss {row['val_loss']:.4g}, validation mIoU {row['val_miou']:.3f}, "
            f"{row['seconds']:.0f} s"
        )
