"""FILE: upload and download a file, and print by how many bytes the peak of this process's memory rose."""

import sys
from pathlib import Path
from unittest.mock import patch

from storage import s3, s3_parts


def peak() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10


if __name__ == "__main__":
    with patch.object(s3, "PART", 5 << 20), patch.object(s3_parts, "PART", 5 << 20):
        store, source = s3.S3Store("mindsweep", "tests/memory"), Path(sys.argv[1])
        before = peak()
        store.put("big", source, replace=True)
        assert store.fetch("big", source.with_name("target")).stat().st_size == source.stat().st_size
        print(peak() - before)
