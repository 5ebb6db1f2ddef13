"""What a process takes of a GPU. There is none here: torch's functions are replaced, and record what they are told."""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from trainables import on_ray
from trainables.config.trial import resolve
from trainables.descent import compiled
from trainables.gpu import granted_gpu, refuse_lacking, release, stated_products
from trainables.graph import stage_runs
from trainables.networks import attention
from trainables.networks.attention import attend
from trainables.networks.motion import MotionGenerator

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture
def gpu() -> Iterator[SimpleNamespace]:
    """As if torch had a GPU that this process uses."""
    with (
        patch("torch.cuda.is_available", return_value=True),
        patch("torch.cuda.is_initialized", return_value=True),
        patch("torch.cuda.set_per_process_memory_fraction") as bound,
        patch("torch.cuda.empty_cache") as emptied,
    ):
        yield SimpleNamespace(bound=bound, emptied=emptied)


@pytest.mark.parametrize("shell", [None, "0,1"])
def test_without_a_share_no_gpu_is_seen(shell: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    if shell is not None:
        monkeypatch.setenv(VISIBLE, shell)
    with granted_gpu(0):
        assert os.environ[VISIBLE] == ""
    assert os.environ.get(VISIBLE) == shell


def test_a_share_bounds_the_memory_and_gives_it_back(gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "3")
    with granted_gpu(0.25):
        gpu.bound.assert_called_once_with(0.25)
        assert os.environ[VISIBLE] == "3", "the GPU that Ray chose"
        gpu.emptied.assert_not_called()
    gpu.emptied.assert_called_once()


def test_a_whole_gpu_is_not_bounded(gpu: SimpleNamespace) -> None:
    with granted_gpu(1):
        pass
    gpu.bound.assert_not_called()
    gpu.emptied.assert_called_once()


def test_a_failed_trial_gives_memory_back_too(gpu: SimpleNamespace) -> None:
    with pytest.raises(RuntimeError, match="no luck"), granted_gpu(0.5):
        raise RuntimeError("no luck")
    gpu.emptied.assert_called_once()


def test_a_lost_device_does_not_hide_what_the_trial_said(gpu: SimpleNamespace) -> None:
    gpu.emptied.side_effect = RuntimeError("CUDA error: unspecified launch failure")
    with pytest.raises(ValueError, match="what the trial said"), granted_gpu(1):
        raise ValueError("what the trial said")


def test_a_process_without_torch_loads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    with granted_gpu(0), stated_products():
        pass
    assert "torch" not in sys.modules


@pytest.mark.parametrize(
    ("granted", "cores", "share"), [({"CPU": 2.0, "GPU": 0.5}, 2, 0.5), ({"CPU": 1.0}, 1, 0), ({}, 1, 0)]
)
def test_a_worker_uses_what_ray_granted(granted: dict[str, float], cores: int, share: float) -> None:
    context = SimpleNamespace(get_assigned_resources=lambda: granted)
    with (
        patch("ray.get_runtime_context", return_value=context),
        patch.object(on_ray, "limited_threads") as threads,
        patch.object(on_ray, "granted_gpu") as gpu,
        on_ray._granted(),
    ):
        pass
    threads.assert_called_once_with(cores)
    gpu.assert_called_once_with(share)


def products() -> tuple[Any, ...]:
    """Return how torch multiplies: matrices, convolutions; whether cuDNN chooses by trying, and repeats itself."""
    matrices = torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    return *matrices, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic


def test_products_are_exact_unless_a_training_says_otherwise() -> None:
    before = products()
    assert before[2], "torch's default, in which convolutions are rounded and matrix products are not"
    with stated_products():
        assert products() == (False, "highest", False, False, True)
        with stated_products(tf32=True):
            assert products() == (True, "high", True, False, True)
        assert products() == (False, "highest", False, False, True)
    assert products() == before


@pytest.mark.parametrize(
    ("formats", "capability", "refused"),
    [
        ({"bf16": True}, (7, 5), "motion.train.precision: bf16 needs .* 8.0, but Tesla T4 has 7.5; write fp32"),
        ({"tf32": True}, (7, 0), "tf32 needs .* 8.0, but Tesla T4 has 7.0"),
        ({"bf16": True}, (8, 0), None),
        ({"tf32": True}, (9, 0), None),
        ({}, (6, 1), None),
    ],
)
def test_a_format_that_a_gpu_lacks_is_refused(
    formats: dict[str, bool], capability: tuple[int, int], refused: str | None
) -> None:
    with (
        patch("torch.cuda.get_device_capability", return_value=capability),
        patch("torch.cuda.get_device_name", return_value="Tesla T4"),
        nullcontext() if refused is None else pytest.raises(ValueError, match=refused),
    ):
        refuse_lacking(torch.device("cuda", 0), **formats, field="motion.train.precision")
    refuse_lacking(torch.device("cpu"), **formats, field="motion.train.precision")


def test_products_are_part_of_the_identity_where_they_are_not_exact() -> None:
    def identity(**overrides: Any) -> str:
        return stage_runs(resolve(overrides), seed=0, targets=["structure"])[-1].identity

    assert identity(**{"structure.train.products": "fp32"}) == identity()
    assert identity(**{"structure.train.products": "tf32"}) != identity()


@pytest.mark.parametrize("rows_of_mask", [None, 1, 23])
def test_attention_of_many_sequences_is_that_of_each(rows_of_mask: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(23, 2, 5, 4, generator=generator) for _ in range(3))
    mask = None if rows_of_mask is None else torch.rand(rows_of_mask, 1, 5, 5, generator=generator) > 0.3
    mask = None if mask is None else mask | torch.eye(5, dtype=torch.bool)
    whole = attend(query, key, value, mask)
    monkeypatch.setattr(attention, "SEQUENCES", 12)
    with patch(
        "torch.nn.functional.scaled_dot_product_attention", wraps=nn.functional.scaled_dot_product_attention
    ) as call:
        assert torch.equal(attend(query, key, value, mask), whole)
    sizes = [len(arguments.args[0]) for arguments in call.call_args_list]
    assert sizes == [6, 6, 6, 5], "no more than twelve sequences times heads"


def test_compiled_code_does_not_grow_with_batches_or_trials() -> None:
    """The last batch of an epoch is shorter, which compiles once more, for any size; a trial leaves nothing."""
    model = MotionGenerator(resolve({}).motion, voxels=10, video=(3, 4, 16, 16))
    counter = CompileCounter()
    with patch("torch.compile", wraps=lambda module, **_: torch._dynamo.optimize(counter)(module)):
        forward = compiled(model)
    for rows in (8, 8, 5, 8, 3, 7, 8, 6):
        made: Tensor = forward(
            torch.randn(rows, 2, 4, 16, 16), torch.randn(rows, 10), torch.ones(1, 2, 2, dtype=torch.bool)
        )
        assert len(made) == rows
    assert counter.frame_count <= 2
    with patch("torch._dynamo.reset", wraps=torch._dynamo.reset) as reset:
        release()
    assert isinstance(reset, Mock)
    reset.assert_called_once()
