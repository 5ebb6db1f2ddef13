"""STORE OUTPUT PREFIX: commit a stage run, and be killed when a key with the prefix is to be written."""

import os
import signal
import sys
from pathlib import Path

from storage.local import LocalStore
from storage.runs import Manifest, RunStore


class Mortal(LocalStore):
    """A store whose process does not survive to write some keys."""

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        if key.startswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        super().put(key, data, replace=replace)


if __name__ == "__main__":
    run = Manifest("noop-1", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)
    RunStore(Mortal(Path(sys.argv[1])), cache=Path("unused")).commit(run, Path(sys.argv[2]))
