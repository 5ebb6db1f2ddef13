"""Real errors, and what they are called."""

import errno
import subprocess
from pathlib import Path

import pytest
import torch

from storage.errors import UnavailableError
from storage.local import LocalStore
from tests.programs import ROOT, program
from trainables.distributed import PeerLostError
from trainables.failure import cause_of, device_answers
from trainables.loop import DivergedError


def test_too_little_memory_for_python_and_for_torch() -> None:
    with pytest.raises(MemoryError) as python:
        bytearray(1 << 60)
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(1 << 58)
    assert cause_of(python.value) == cause_of(cpu.value) == "OUT_OF_MEMORY"
    assert cause_of(torch.OutOfMemoryError("CUDA out of memory")) == "OUT_OF_MEMORY"


def test_a_full_disk_behind_a_store_and_behind_safetensors(tmp_path: Path) -> None:
    done = subprocess.run(program("disk_full", tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["DISK_FULL", "DISK_FULL"], done.stderr


def test_what_led_to_an_error_is_asked_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError) as other:
        LocalStore(tmp_path / "file").put("key", b"")
    assert cause_of(other.value) == "STORE_LOST"
    full = UnavailableError("cannot write")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert cause_of(full) == "DISK_FULL"
    first, second = ValueError("one"), ValueError("two")
    first.__context__, second.__context__ = second, first
    assert cause_of(first) == "ERROR", "errors that refer to each other come to an end"


def test_a_loss_that_is_not_finite() -> None:
    assert cause_of(DivergedError("the loss is nan")) == "DIVERGED"


def test_what_ray_says_of_the_dead() -> None:
    from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, WorkerCrashedError

    assert cause_of(OutOfMemoryError("killed")) == "OUT_OF_MEMORY"  # type: ignore[no-untyped-call]
    assert cause_of(WorkerCrashedError()) == cause_of(ActorUnavailableError("gone", None)) == "WORKER_LOST"
    node = RayActorError(error_msg="The actor died because its node has died. Node Id: 0c")
    pressed = RayActorError(error_msg="Task was killed due to the node running low on memory.")
    assert (cause_of(node), cause_of(pressed)) == ("NODE_LOST", "OUT_OF_MEMORY")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 GiB", "OUT_OF_MEMORY"),
        ("CUDA error: out of memory", "OUT_OF_MEMORY"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "OUT_OF_MEMORY"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "OUT_OF_MEMORY"),
        ("std::bad_alloc", "OUT_OF_MEMORY"),
        ("CUDA error: an illegal memory access was encountered", "DEVICE_LOST"),
        ("CUDA error: device-side assert triggered", "DEVICE_LOST"),
        ("CUDA error: uncorrectable ECC error encountered", "DEVICE_LOST"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "DEVICE_LOST"),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "DEVICE_LOST"),
        ("NCCL error in: ProcessGroupNCCL.cpp:2093, unhandled system error", "NETWORK"),
        ("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]", "NETWORK"),
    ],
)
def test_what_torch_says_of_devices_and_connections(text: str, cause: str) -> None:
    assert cause_of(RuntimeError(text)) == cause
    assert cause_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) == "ERROR"


def test_a_device_that_is_out_of_reach_is_lost_and_its_memory_is_not() -> None:
    assert cause_of(torch.AcceleratorError("an error without known words")) == "DEVICE_LOST"
    assert cause_of(torch.AcceleratorError("CUDA error: out of memory")) == "OUT_OF_MEMORY"


def test_a_peer_that_died_says_more_than_the_connection_to_it() -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    lost.__cause__ = PeerLostError("worker 1 was lost")
    assert cause_of(lost) == "WORKER_LOST"


def test_a_process_without_a_gpu_has_lost_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_answers()

    def dead() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", dead)
    assert not device_answers()


def test_a_disk_that_is_full_for_results_fails_the_run_and_stores_nothing(tmp_path: Path) -> None:
    command = program("disk_full_for_results", tmp_path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["DISK_FULL", "None", "[]"], done.stderr
    assert "the checkpoint of epoch 1 could not be stored; training continues" in done.stderr
