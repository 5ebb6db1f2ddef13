"""The end of a command's process."""

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
    """
    codes: list[int] = []
    atexit.register(_end_at_once, codes)  # before those of libraries, which are therefore called before it
    codes.append(main())
    sys.exit(codes[0])


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
