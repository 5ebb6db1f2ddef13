"""How many rows of a computation fit into the memory that is free, and never more than a fixed number."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from trainables.usable_cores import usable_cores

GPU_UNIT_BYTES = 1 << 30
"""What the rows of one pass take at most on a GPU, unless a single one takes more."""
CPU_UNIT_BYTES = 32 << 20
"""The same on a CPU: layers that only read and write are slow where a map leaves the caches, and where the C library
returns it to the system after each of them. Stable Diffusion's VAE at a width of 16 channels takes 1.2 ms for a frame
of 64 pixels in passes of 20 MiB, and 2.0 ms in passes of 80 MiB; at its own width 10 to 20 % less time."""
_PART = 0.5
"""Of what is free: the rest is for what the estimate leaves out."""
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Of cgroups, version 2 and 1: limit, use, and what of the use the system takes back when it needs it."""


@dataclass(frozen=True)
class Pass:
    """How many rows are computed at a time."""

    unit: int
    """As many as take `GPU_UNIT_BYTES`, or on a CPU the largest power of two that takes `CPU_UNIT_BYTES`, at least one.
    It depends on the network, the size of its input and the kind of device alone: networks round by the number of rows,
    and results must not depend on what else runs on a machine."""
    rows: int
    """`unit`, or fewer if memory is short: results may then differ in their last digits."""

    @property
    def warning(self) -> str | None:
        """What to say if memory is short."""
        if self.rows == self.unit:
            return None
        return (
            f"memory is short: {self.rows} images at a time instead of {self.unit}, so results may differ in their "
            "last digits from those of a machine with more; run fewer trials at a time (--max-concurrent)"
        )


def plan_pass(row_bytes: int, device: torch.device, *, most: int | None = None) -> Pass:
    """Return how many rows of `row_bytes` each are computed at a time on `device`, `most` at the most."""
    unit = _gpu_unit(row_bytes) if device.type == "cuda" else _cpu_unit(row_bytes)
    unit = unit if most is None else min(unit, most)
    return Pass(unit, max(1, min(unit, int(_PART * free_share(device)) // row_bytes)))


def _gpu_unit(row_bytes: int) -> int:
    return max(1, GPU_UNIT_BYTES // row_bytes)


def _cpu_unit(row_bytes: int) -> int:
    """Return a power of two: latents of 16, 32 and 64 frames at a time were equal, of 12 and 25 they were not."""
    rows = max(1, CPU_UNIT_BYTES // row_bytes)
    return 1 << (rows.bit_length() - 1)


def free_share(device: torch.device) -> int:
    """Return the free bytes on `device`, divided by the number of processes that compute on this machine.

    Of a GPU that several share, a process has what is left of its own share. On a CPU, the number of processes is taken
    to be the usable cores over the threads of this process, which Ray sets to the cores that it
    grants.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        allocated = torch.cuda.memory_allocated(device)
        granted = int(torch.cuda.get_per_process_memory_fraction(device) * total)
        return min(free + torch.cuda.memory_reserved(device) - allocated, granted - allocated)
    free = min([psutil.virtual_memory().available, *_left_in_groups()])
    return free // max(1, usable_cores() // torch.get_num_threads())


def free_on_gpu(device: torch.device) -> int | None:
    """Return the free bytes of this process's share of a GPU; None for a CPU, where nothing is chosen by it."""
    return free_share(device) if device.type == "cuda" else None


def _left_in_groups() -> Iterator[int]:
    """Yield what the limits of cgroups leave."""
    for limit_file, use_file, parts_file, part in _LIMITS:
        try:
            limit, use = (int((_CGROUP / name).read_text()) for name in (limit_file, use_file))
            parts = dict(line.split() for line in (_CGROUP / parts_file).read_text().splitlines())
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        yield max(0, limit - use + int(parts.get(part, 0)))
