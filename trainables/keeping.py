"""Checkpoints in the background. Training does not wait for them, and a failed write does not end it.

They take at most a share of the time, so the interval between two of them is as long as they are slow. What a failure
costs then is this interval, which is worth as much as it takes to avoid it.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from storage.runs import Checkpoints


class CheckpointKeeper(Protocol):
    """Stores the checkpoints of one stage run. `storage.checkpoints.Checkpoints` does so in the foreground."""

    def save(self, epoch: int, folder: Path, *, keep_older: bool = False) -> None:
        """Store all files of `folder` as the checkpoint of `epoch`, beside older ones or in their place."""

    def latest(self) -> tuple[int, Path] | None:
        """Return the epoch and the read-only folder of the newest checkpoint, or None."""

    def stored(self) -> Sequence[tuple[int, Path]]:
        """Return the epochs and read-only folders of all checkpoints, the oldest first."""


class Pace:
    """Decides when the next checkpoint is due. Between two there is so much time that they take `share` of it.

    The first is due at once, since nothing tells what it will take.
    """

    def __init__(self, share: float = 1.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        """With `share` 1 a checkpoint is due after every epoch, with 0 never."""
        self._share, self._clock = share, clock
        self._began: float | None = None
        self._cost = 0.0
        self._writing = 0
        self._mutex = threading.Lock()

    def due(self) -> bool:
        """Return whether a checkpoint is to be made now."""
        if self._share in (0, 1) or self._began is None:
            return self._share > 0
        return self._writing == 0 and self._clock() - self._began >= self._cost / self._share

    @contextmanager
    def making(self) -> Iterator[None]:
        """Count the time inside as that of a new checkpoint, in the thread that trains."""
        self._began, self._cost = self._clock(), 0.0
        with self.writing():
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Count the time inside as that of the last checkpoint."""
        started = self._clock()
        with self._mutex:
            self._writing += 1
        try:
            yield
        finally:
            with self._mutex:
                self._cost += self._clock() - started
                self._writing -= 1


class BackgroundCheckpoints:
    """Writes checkpoints in a thread, one at a time: the next one waits for the previous one.

    If a checkpoint cannot be written, `warn` is called and the older one stays. Call `drain` before the stage run ends.
    """

    def __init__(self, checkpoints: Checkpoints, warn: Callable[[str], None], *, pace: Pace | None = None) -> None:
        """Tell `pace` what the writing takes."""
        self._checkpoints, self._warn = checkpoints, warn
        self._pace = Pace() if pace is None else pace
        self._thread: threading.Thread | None = None

    def save(self, epoch: int, folder: Path, *, keep_older: bool = False) -> None:
        """Move the files out of `folder`, which is empty afterwards, and start to write them."""
        self.drain()
        moved = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=folder.parent))
        os.rename(folder, moved / "files")
        folder.mkdir()
        self._thread = threading.Thread(
            target=self._write, args=(epoch, moved, keep_older), name="checkpoint", daemon=True
        )
        self._thread.start()

    def latest(self) -> tuple[int, Path] | None:
        """Wait for the current write and return the newest checkpoint."""
        self.drain()
        return self._checkpoints.latest()

    def stored(self) -> Sequence[tuple[int, Path]]:
        """Wait for the current write and return all checkpoints."""
        self.drain()
        return self._checkpoints.stored()

    def drain(self) -> None:
        """Wait until the current write has ended."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, epoch: int, moved: Path, keep_older: bool) -> None:
        try:
            with self._pace.writing():
                self._checkpoints.save(epoch, moved / "files", keep_older=keep_older)
        except Exception as error:  # no error of a checkpoint may end the training
            self._warn(lost_checkpoint(epoch, error))
        finally:
            shutil.rmtree(moved, ignore_errors=True)


def lost_checkpoint(epoch: int, error: BaseException) -> str:
    """Return the warning about a checkpoint that could not be stored."""
    return f"the checkpoint of epoch {epoch} could not be stored; training continues: {error}"
