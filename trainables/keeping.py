"""Checkpoints that a training does not wait for, and that do not end it where they cannot be kept."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from storage.runs import Checkpoints


class CheckpointKeeper(Protocol):
    """Keeps the checkpoints of one stage run; `storage.checkpoints.Checkpoints` does so at once."""

    def save(self, epoch: int, folder: Path) -> None:
        """Keep all files of `folder` as the checkpoint of `epoch`."""

    def latest(self) -> tuple[int, Path] | None:
        """Return the newest checkpoint: its epoch and a folder to read only, or None."""


class BackgroundCheckpoints:
    """Writes checkpoints in a thread, one at a time: the next one waits for the last.

    A checkpoint that cannot be written is reported to `warn`, and the older one stays. `drain` before the run counts
    as over.
    """

    def __init__(self, checkpoints: Checkpoints, warn: Callable[[str], None]) -> None:
        self._checkpoints, self._warn = checkpoints, warn
        self._thread: threading.Thread | None = None

    def save(self, epoch: int, folder: Path) -> None:
        """Take the files out of `folder`, which is empty afterwards, and begin to write them."""
        self.drain()
        taken = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=folder.parent))
        os.rename(folder, taken / "files")
        folder.mkdir()
        self._thread = threading.Thread(target=self._write, args=(epoch, taken), name="checkpoint", daemon=True)
        self._thread.start()

    def latest(self) -> tuple[int, Path] | None:
        """Return the newest checkpoint, once what is being written is."""
        self.drain()
        return self._checkpoints.latest()

    def drain(self) -> None:
        """Wait until nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, epoch: int, taken: Path) -> None:
        try:
            self._checkpoints.save(epoch, taken / "files")
        except Exception as error:  # whatever it is, it must not cost what has been trained
            self._warn(lost_checkpoint(epoch, error))
        finally:
            shutil.rmtree(taken, ignore_errors=True)


def lost_checkpoint(epoch: int, error: BaseException) -> str:
    """Return what to tell of a checkpoint that could not be kept."""
    return f"the checkpoint of epoch {epoch} was not kept, the training goes on: {error}"
