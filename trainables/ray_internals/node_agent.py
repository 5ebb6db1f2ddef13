"""Stands in for the agent of a node that serves Ray's dashboard, on a cluster of one machine: `core.start_cluster`.

    python node_agent.py SESSION_FOLDER

Ray's own agent loads .6 s of modules into 120 MB, and the node waits for that. Of an agent it needs the files that say
on which ports it listens (on none, as the small agent of Ray says), and that it lives as long as the node.
"""

import os
import sys
import time

_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
_NONE = "-1"
_LOOK = 1.0
"""Seconds between two looks whether the node is still there."""


def main() -> None:
    """Write the files of the ports, and wait for the end of the node."""
    node = os.getppid()
    for name in _PORTS:
        file = f"{sys.argv[1]}/{name}_{os.environ['RAY_NODE_ID']}"
        with open(f"{file}.new", "w", encoding="ascii") as fresh:
            fresh.write(_NONE)
        os.replace(f"{file}.new", file)
    while os.getppid() == node:
        time.sleep(_LOOK)


if __name__ == "__main__":
    main()
