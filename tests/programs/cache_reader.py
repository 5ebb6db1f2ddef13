"""FOLDER LIMIT NUMBERS [hold]: read objects through a cache of LIMIT bytes; `hold` keeps using what was read."""

import hashlib
import sys
from pathlib import Path

from storage.cache import Cache
from storage.content import File
from storage.memory import MemoryStore


def read(folder: Path, limit: int, *, numbers: list[int], hold: bool) -> Cache | None:
    store, cache = MemoryStore(), None
    for number in range(20):
        store.put(f"blobs/{number}", bytes([number]) * 10_000)
    for number in numbers:
        if cache is None or not hold:
            cache = Cache(folder, limit=limit)
        data = store.get(f"blobs/{number}")
        path = cache.fetch(store, f"blobs/{number}", File(hashlib.sha256(data).hexdigest(), len(data)))
        assert path.read_bytes() == data
    return cache


if __name__ == "__main__":
    hold = sys.argv[4:] == ["hold"]
    used = read(Path(sys.argv[1]), int(sys.argv[2]), numbers=[int(n) for n in sys.argv[3].split(",")], hold=hold)
    print("done", flush=True)
    if hold:
        sys.stdin.read()
