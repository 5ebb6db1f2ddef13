"""How many cores of this machine the process may use: fewer in a container or a job of a batch system."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = _GROUPS) -> int:
    """Return the cores that affinity and control groups leave to this process, at least 1.

    Args:
        groups: Where the kernel shows the control group, of version 1 or 2.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = os.cpu_count() if affinity is None else len(affinity(0))
    return max(1, min([cores if cores is not None else 1, *map(int, _quotas(groups))]))


def _quotas(groups: Path) -> Iterator[float]:
    """Yield the limits in cores; without a limit, nothing."""
    with suppress(OSError, ValueError):
        quota, period = (groups / "cpu.max").read_text().split()  # version 2; "max" is no number
        yield float(quota) / float(period)
    with suppress(OSError, ValueError):
        quota, period = ((groups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if float(quota) > 0:
            yield float(quota) / float(period)
