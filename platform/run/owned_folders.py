"""Temporary folders that know whose they are: what a killed process left is removed by the next one that makes some."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import psutil

_OWNER = "owner.json"


def make_folder(prefix: str) -> Path:
    """Return a new folder in the system's temporary one, and remove those of `prefix` whose process is dead.

    A folder without a readable owner, of another user, or from where process ids mean something else, is left alone.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=prefix))
    (made / _OWNER).write_text(json.dumps(_owner(psutil.Process())))
    return made


def _owner(process: psutil.Process) -> dict[str, object]:
    space = Path("/proc/self/ns/pid")
    return {
        "host": os.uname().nodename,
        "space": os.readlink(space) if space.is_symlink() else "",
        "pid": process.pid,
        "started": process.create_time(),
    }


def _is_abandoned(folder: Path) -> bool:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        owner = json.loads((folder / _OWNER).read_text())
        here = _owner(psutil.Process())
        if (owner["host"], owner["space"]) != (here["host"], here["space"]):
            return False
        process = psutil.Process(owner["pid"])
        alive = process.status() != psutil.STATUS_ZOMBIE
        # A start time moves when the clock is set; another process with this id began much later.
        return not alive or abs(process.create_time() - owner["started"]) > 60.0
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
