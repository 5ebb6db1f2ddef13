"""Writes the report of a made-up ablation as an example: `python -m tests.platform.reporting.example_report FILE`.

The design, the records and the per-clip values are those that the tests of reports use: effects are planted, and no
network was trained.
"""

import sys
import tempfile
from pathlib import Path

from platform.reporting.making import make_report
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import STUDY, MadeUp, write_study


def main(path: Path) -> None:
    """Write the page to `path`."""
    store = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        write_study(store, Path(folder) / "runs", MadeUp(subjects=(0, 1), seeds=9, clips=30, importance=True))
        page, _ = make_report(store, STUDY, Path(folder) / "report")
        path.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
