"""ADDRESS: print what a Ray cluster still holds, as JSON: CPUs that are taken, and placement groups."""

import json
import logging
import sys
import time
from typing import Any

import ray
from ray.util import placement_group_table

_PATIENCE = 30.0
"""Seconds in which an ended study's reservations are given back."""


def held() -> dict[str, Any]:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    available: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    groups: dict[str, Any] = placement_group_table()
    left = [name for name, group in groups.items() if group["state"] != "REMOVED"]
    return {"cpus": resources.get("CPU", 0.0) - available.get("CPU", 0.0), "placement_groups": left}


def main(address: str) -> None:
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    end = time.monotonic() + _PATIENCE
    while any((found := held()).values()) and time.monotonic() < end:
        time.sleep(0.5)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
