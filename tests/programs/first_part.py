"""PREFIX FILE: upload a file to the bucket `mindsweep` in parts, and rest after the first."""

import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from storage import s3, s3_parts


def upload(prefix: str, source: Path) -> None:
    store = s3.S3Store("mindsweep", prefix)
    upload_part = store._bucket.client.upload_part

    def first_part_only(**where: Any) -> Any:
        answer = upload_part(**where)
        print("answered", flush=True)
        time.sleep(600)
        return answer

    store._bucket.client.upload_part = first_part_only
    store.put("big", source)


if __name__ == "__main__":
    with (
        patch.object(s3, "PART", 5 << 20),
        patch.object(s3_parts, "PART", 5 << 20),
        patch.object(s3_parts, "_AT_A_TIME", 1),
    ):
        upload(sys.argv[1], Path(sys.argv[2]))
