"""SIGNAL READER FOLDER --out DIR ...: run `platform.prepare`, and send this process SIGNAL after two recordings."""

import os
import signal
import sys

from platform.prepare import main
from platform.screen.step_progress import StepProgress


class Stopping(StepProgress):
    """Ends the process by a signal instead of showing the second recording."""

    recordings = 0

    def __call__(self, step: str, done: int, total: int) -> None:
        """Count, and send the signal."""
        self.recordings += step == "fMRI" and done > 0
        if self.recordings == 2:
            os.kill(os.getpid(), int(sys.argv[1]))
        super().__call__(step, done, total)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    sys.modules["platform.prepare"].__dict__["StepProgress"] = Stopping
    sys.exit(main(sys.argv[2:]))
