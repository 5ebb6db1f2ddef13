"""URI: write new objects, and one anew, until killed."""

import sys
from itertools import count

from storage.uri import open_store

if __name__ == "__main__":
    store = open_store(sys.argv[1])
    for number in count():
        store.put(f"n/{number:06d}", bytes([number % 256]) * 3_000_000)
        store.put("replaced", bytes([number % 256]) * 3_000_000, replace=True)
