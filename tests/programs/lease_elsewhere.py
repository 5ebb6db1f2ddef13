"""URI TTL: hold the lease `study`, by all that is stored on another machine, until it is lost."""

import sys
import time
from unittest.mock import patch

from storage import lease
from storage.uri import open_store


def hold(uri: str, ttl: float) -> None:
    held = lease.Lease(open_store(uri), "study", ttl=ttl)
    held.acquire()
    print("held", flush=True)
    while not held.lost:
        time.sleep(0.02)
    print("lost", flush=True)


if __name__ == "__main__":
    with patch.object(lease, "_machine", lambda: "other/boot/space"):
        hold(sys.argv[1], float(sys.argv[2]))
