"""The start and the end of a command's process."""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn


def run_command(main: Callable[[], int]) -> NoReturn:
    """Call `main`, and end this process with the exit code that it returns.

    At its end Python frees all that was imported, which takes a second after a study and gives nothing back that the
    operating system would not take. So the process ends without that, after all functions registered with `atexit`. If
    `main` raises, or what it printed cannot be written, the process ends in Python's own way.

    Standard streams that the caller closed (`>&-`) are open on nothing first.
    """
    _open_closed_streams()
    codes: list[int] = []
    atexit.register(_end_at_once, codes)  # before those of libraries, which are therefore called before it
    codes.append(main())
    sys.exit(codes[0])


def _open_closed_streams() -> None:
    """Open closed standard streams on the null device.

    Otherwise the next file that is opened has the number of stdout, and what a child process prints is written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # What is opened gets the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))


def _end_at_once(codes: list[int]) -> None:
    if not codes:
        return
    try:
        logging.shutdown()  # it registered itself when it was imported, before us
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads any more
        return
    os._exit(codes[0])
