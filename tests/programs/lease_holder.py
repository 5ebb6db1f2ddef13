"""URI TTL: hold the lease `study` for two minutes."""

import sys
import time

from storage.lease import Lease
from storage.uri import open_store

if __name__ == "__main__":
    with Lease(open_store(sys.argv[1]), "study", ttl=float(sys.argv[2])):
        print("held", flush=True)
        time.sleep(120)
