"""URI FOLDER: commit thirty stage runs that others commit, too, and print their digests."""

import sys
from pathlib import Path

from storage.runs import Manifest, RunStore
from storage.uri import open_store


def commit(uri: str, scratch: Path) -> None:
    (scratch / "out").mkdir(parents=True)
    for number in range(30):
        (scratch / "out" / "shared").write_bytes(bytes(200_000))
        (scratch / "out" / "who").write_text(f"{scratch} {number}")
        run = Manifest(f"noop-{number}", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)
        print(RunStore(open_store(uri), cache=scratch / "cache").commit(run, scratch / "out").digest)


if __name__ == "__main__":
    commit(sys.argv[1], Path(sys.argv[2]))
