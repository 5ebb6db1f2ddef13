"""What is written, and how long it takes, with a checkpoint after every epoch and with a bounded share of the time.

    python -m benchmarks.checkpoint_share [--megabytes 30] [--epochs 20]

A stage that computes nothing sleeps half a second per epoch, and its checkpoints have the given size.
"""

import argparse
import tempfile
import time
from pathlib import Path

from storage.local import LocalStore
from storage.runs import RunStore
from trainables.config.trial import resolve
from trainables.execute import execute
from trainables.graph import stage_runs


class _Counting(LocalStore):
    """Counts the bytes and the number of checkpoints."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.bytes = self.checkpoints = 0

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Write and count."""
        if key.startswith("checkpoints/"):
            self.bytes += data.stat().st_size if isinstance(data, Path) else len(data)
            self.checkpoints += key.endswith("/manifest.json")
        super().put(key, data, replace=replace)


def main() -> None:
    """Print one line for each share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    for share in (1.0, 0.05):
        fields = {"epochs": given.epochs, "sleep": 0.5, "memory": given.megabytes, "checkpoint_share": share}
        config = resolve({f"noop.{name}": value for name, value in fields.items()})
        (run,) = stage_runs(config, seed=0, targets=["noop"])
        with tempfile.TemporaryDirectory() as folder:
            store = _Counting(Path(folder) / "store")
            began = time.monotonic()
            execute(run, config, runs=RunStore(store, cache=Path(folder)), scratch=Path(folder) / "scratch")
            taken = time.monotonic() - began
        print(f"share {share}: {taken:.1f} s, {store.checkpoints} checkpoints, {store.bytes / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
