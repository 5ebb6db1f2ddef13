"""What a process takes of a GPU: the share that it was granted, and products as exact as its config states.

A process that was granted no GPU sees none. On a machine without a GPU only compiled code is released here.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from storage.environment import with_variable

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_AMPERE = (8, 0)
"""The first compute capability with arithmetic for bf16 and TF32. Older GPUs emulate bf16, slower than 32 bits."""


@contextmanager
def granted_gpu(share: float) -> Iterator[None]:
    """Let this process use `share` of a GPU: 0 hides all GPUs, less than 1 bounds the memory that torch takes.

    Work that asks for more than its share then ends with OUT_OF_MEMORY, and what else computes on the GPU goes on.
    At the end the memory is free for the next trial, which may run in another process.
    """
    # Hidden from libraries that have not used one yet, and from processes that this one starts.
    with with_variable(_VISIBLE, "") if share == 0 else _bounded_memory(share):
        try:
            yield
        finally:
            release()


@contextmanager
def stated_products(*, tf32: bool = False) -> Iterator[None]:
    """Let GPUs multiply 32-bit numbers with all 23 bits of the mantissa or, in TF32, with 10.

    This is for matrix products and convolutions alike, between which torch's defaults differ. cuDNN takes the same
    algorithm each time, so that a GPU repeats its own result.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:  # a stage without tensors
        yield
        return
    # torch's older names: after the newer ones some readers of the older ones, such as its compiler, raise errors.
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    _set_products(torch, "high" if tf32 else "highest", tf32, False, True)
    try:
        yield
    finally:
        _set_products(torch, *before)


def _set_products(torch: Any, matmul: str, *of_cudnn: bool) -> None:
    torch.set_float32_matmul_precision(matmul)
    cudnn = torch.backends.cudnn
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = of_cudnn


def refuse_lacking(device: Any, *, bf16: bool = False, tf32: bool = False, field: str) -> None:
    """Refuse a number format for which `device`, a torch device, has no arithmetic. Any CPU computes bf16.

    Raises:
        ValueError: It is a GPU older than compute capability 8.0. `field` names the setting.
    """
    if device.type != "cuda" or not (bf16 or tf32):
        return
    import torch

    found = torch.cuda.get_device_capability(device)
    if torch.version.hip is None and found < _AMPERE:
        what = "bf16" if bf16 else "tf32"
        raise ValueError(
            f"{field}: {what} needs a GPU of compute capability 8.0, but {torch.cuda.get_device_name(device)} has "
            f"{found[0]}.{found[1]}; write fp32"
        )


def release() -> None:
    """Free what torch keeps of finished work: memory of GPUs, and compiled code, of which each trial adds more."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    if (dynamo := sys.modules.get("torch._dynamo")) is not None:
        dynamo.reset()
    if torch.cuda.is_initialized():
        gc.collect()  # a failed trial's tensors hang on its traceback
        with suppress(RuntimeError):  # the device is lost: who uses it next says so
            torch.cuda.empty_cache()


@contextmanager
def _bounded_memory(share: float) -> Iterator[None]:
    if share < 1:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(share)
    yield
