"""Temporary folders that record their owner process: the next process removes those that a killed process left."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_OWNER = "owner.json"
_PATIENCE = 5.0
"""Seconds for which processes that end may still write into a folder that is removed."""


@contextmanager
def owned_folder(prefix: str) -> Iterator[Path]:
    """Yield an empty folder in the system's temporary folder, and remove it afterwards.

    If this process is killed, the next one that asks for a folder with this prefix removes it. Libraries that make
    temporary folders themselves leave them; so they are given files from here.
    """
    folder = make_folder(prefix)
    files = folder / "files"
    files.mkdir()
    try:
        yield files
    finally:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder that `make_folder` made, as soon as the processes that it is for have stopped writing.

    The record of its owner goes last: what cannot be removed now is removed by the next process.
    """
    end = time.monotonic() + _PATIENCE
    while not _removed(folder) and time.monotonic() < end:
        time.sleep(0.1)


def make_folder(prefix: str, *, inside: Path | None = None, remove: Callable[[Path], None] = remove_folder) -> Path:
    """Create and return a folder in the system's temporary folder; remove those of `prefix` whose process is dead.

    A folder is kept if its owner cannot be read, if it belongs to another user, or if it was made on another host or in
    another PID namespace. With `inside`, another folder takes the place of the system's; `remove` removes such
    a folder.
    """
    root = Path(tempfile.gettempdir()) if inside is None else inside
    for folder in root.glob(f"{prefix}*"):
        if _is_abandoned(folder):
            remove(folder)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    (folder / _OWNER).write_text(json.dumps(_owner(psutil.Process())))
    return folder


def kill_processes(folder: Path) -> None:
    """Kill the processes whose command line names `folder`, or that write to a file in it. Those of other users stay.

    Processes that rename themselves, as those of Ray do, lose their command line: only what they write tells.
    """
    real = folder.resolve()  # where the system says that a file is, though the temporary folder may be a link
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (_names(process, folder) or _writes_to(process, real)):
                process.kill()
        except psutil.Error:  # it has ended, or is another user's
            continue


def _names(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.cmdline())


def _writes_to(process: psutil.Process, folder: Path) -> bool:
    return any(file.mode != "r" and Path(file.path).is_relative_to(folder) for file in process.open_files())


def _removed(folder: Path) -> bool:
    try:
        for entry in [path for path in folder.iterdir() if path.name != _OWNER]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        if {path.name for path in folder.iterdir()} <= {_OWNER}:
            shutil.rmtree(folder)
    except OSError:
        pass
    return not folder.exists()


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
        this_process = _owner(psutil.Process())
        if (owner["host"], owner["space"]) != (this_process["host"], this_process["space"]):
            return False
        process = psutil.Process(owner["pid"])
        alive = process.status() != psutil.STATUS_ZOMBIE
        # The start time shifts when the clock is set. A process that reuses the id started much later.
        return not alive or abs(process.create_time() - owner["started"]) > 60.0
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
