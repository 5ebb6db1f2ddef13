"""How many rows are computed at a time: a fixed number, fewer only if memory is short, and then it is said."""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import torch

from trainables import free_memory
from trainables.backbones.load import load_clip, load_vae
from trainables.free_memory import Pass, free_share, plan_pass
from trainables.stages.features import _resized

CPU, GPU = torch.device("cpu"), torch.device("cuda")
GIB, MIB = 1 << 30, 1 << 20


@pytest.mark.parametrize(
    ("row", "device", "free", "expected"),
    [
        (GIB // 6, GPU, 100 * GIB, Pass(6, 6)),
        (GIB // 6, GPU, 2 * GIB, Pass(6, 6)),
        (GIB // 6, GPU, GIB, Pass(6, 3)),
        (GIB // 6, GPU, 0, Pass(6, 1)),
        (3 * GIB, GPU, 100 * GIB, Pass(1, 1)),
        (3 * GIB, GPU, GIB, Pass(1, 1)),
        (MIB, CPU, 100 * GIB, Pass(32, 32)),
        (MIB + 1, CPU, 100 * GIB, Pass(16, 16)),
        (MIB + 1, CPU, 12 * MIB, Pass(16, 5)),
        (32 * MIB, CPU, 100 * GIB, Pass(1, 1)),
        (GIB // 6, CPU, 100 * GIB, Pass(1, 1)),
        (GIB // 6, CPU, 0, Pass(1, 1)),
    ],
)
def test_a_pass_takes_a_gibibyte_or_on_a_cpu_what_caches_hold_or_half_of_what_is_free(
    row: int, device: torch.device, free: int, expected: Pass
) -> None:
    with patch.object(free_memory, "free_share", return_value=free):
        planned = plan_pass(row, device)
    assert planned == expected
    assert (planned.warning is None) == (planned.rows == planned.unit)
    if planned.warning is not None:
        assert f"{planned.rows} images at a time instead of {planned.unit}" in planned.warning


def test_processes_of_a_machine_share_what_is_free() -> None:
    threads = torch.get_num_threads()
    with (
        patch("os.sched_getaffinity", return_value=set(range(8))),
        patch.object(psutil, "virtual_memory", return_value=SimpleNamespace(available=24 * GIB)),
        patch.object(free_memory, "_CGROUP", Path("/nowhere")),
    ):
        try:
            torch.set_num_threads(2)
            assert free_share(CPU) == 6 * GIB
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize(("limit", "share"), [("3000000000", 1_200_000_000), ("max", 8_000_000_000)])
def test_the_limit_of_a_container_counts(limit: str, share: int, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("2000000000")
    (tmp_path / "memory.stat").write_text("anon 1800000000\ninactive_file 200000000\n")
    with (
        patch.object(free_memory, "_CGROUP", tmp_path),
        patch("os.sched_getaffinity", return_value={0}),
        patch.object(psutil, "virtual_memory", return_value=SimpleNamespace(available=8_000_000_000)),
    ):
        assert free_share(CPU) == share


@pytest.mark.parametrize(("granted", "share"), [(1.0, 4 * GIB), (0.5, 4 * GIB), (0.3, 2 * GIB)])
def test_of_a_gpu_its_own_memory_counts_and_what_torch_keeps_unused(granted: float, share: int) -> None:
    """At most what is left of the share of the GPU that this process was granted."""
    with (
        patch("torch.cuda.get_per_process_memory_fraction", return_value=granted),
        patch("torch.cuda.mem_get_info", return_value=(3 * GIB, 10 * GIB)),
        patch("torch.cuda.memory_reserved", return_value=2 * GIB),
        patch("torch.cuda.memory_allocated", return_value=GIB),
    ):
        assert free_share(torch.device("cuda", 0)) == pytest.approx(share, abs=1)


def test_images_are_prepared_a_few_at_a_time_without_another_result() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (11, 90, 120, 3), np.uint8))
    prepare = load_clip("phantom").prepare
    parts = torch.split(frames, 3)
    assert torch.equal(torch.cat([prepare(part) for part in parts]), prepare(frames))
    assert torch.equal(torch.cat([_resized(part, 64) for part in parts]), _resized(frames, 64))


def test_the_number_depends_on_the_network_and_the_size_alone_while_memory_is_there() -> None:
    vae = load_vae("phantom")
    with patch.object(free_memory, "free_share", return_value=1 << 50):
        assert vae.encoding(64).rows == vae.encoding(64).unit == 16
        assert (vae.encoding(512).unit, vae.decoding((16, 16)).unit, vae.decoding((256, 256)).unit) == (1, 8, 1)
    images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    apart = vae.encode_parts(torch.split(images, 2))
    assert torch.allclose(vae.encode(images), apart, atol=1e-5)
