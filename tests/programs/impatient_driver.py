"""As `driver`, but three seconds is all that it waits for nodes that can hold a trial."""

import sys
from pathlib import Path
from unittest.mock import patch

from platform.run.ray import placement
from tests.programs.driver import run

if __name__ == "__main__":
    with patch.object(placement, "NODES_TIMEOUT", 3.0):
        sys.exit(run(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
