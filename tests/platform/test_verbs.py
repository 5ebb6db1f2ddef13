"""`python -m platform` lists exactly the verbs that exist."""

import subprocess
import sys
from pathlib import Path

from platform.__main__ import VERBS

ROOT = Path(__file__).resolve().parents[2]


def test_every_verb_is_a_module_that_can_be_run_and_every_such_module_is_listed() -> None:
    runnable = {
        path.stem
        for path in (ROOT / "platform").glob("*.py")
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8") and path.stem != "__main__"
    }
    assert set(VERBS) == runnable


def test_the_package_lists_its_verbs() -> None:
    command = [sys.executable, "-m", "platform"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert [verb for verb in VERBS if f"python -m platform.{verb}" not in done.stdout] == []
