"""What counts as the same: bits, or values within a stated tolerance, and the largest difference by name."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import save_file

from platform.reproduction.comparing import RepeatComparison, Tolerance, compare_runs
from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore


def tensors(folder: Path, **named: torch.Tensor) -> None:
    save_file(named, folder / "model.safetensors")


def table(folder: Path, **columns: list[Any]) -> None:
    parquet.write_table(pa.table(columns), folder / "per_clip.parquet")


def made(folder: Path, write: Callable[[Path], object], metrics: dict[str, float]) -> Artifacts:
    folder.mkdir(parents=True)
    write(folder)
    runs = RunStore(MemoryStore(), cache=folder.parent / f"{folder.name}-cache")
    runs.commit(Manifest("noop-1", "noop", {}, 0, {}, {}, metrics, ({"loss": 1.0},), {}, 0.0, 0.0), folder)
    return runs.open("noop-1")


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., RepeatComparison]:
    def call(then: Callable[[Path], object], now: Callable[[Path], object], **metrics: float) -> RepeatComparison:
        old = made(tmp_path / "then", then, {"loss": 0.5})
        return compare_runs(old, made(tmp_path / "now", now, {"loss": 0.5, **metrics}), Tolerance(rtol=1e-3, atol=1e-6))

    return call


def weights(value: float) -> Callable[[Path], None]:
    return lambda folder: tensors(folder, bias=torch.zeros(3), weight=torch.tensor([1.0, value]))


@pytest.mark.parametrize(
    ("then", "now", "verdict", "said"),
    [
        (weights(2.0), weights(2.0), "bit-equal", "1 files, 1 metrics, 1 epochs"),
        (weights(2.0), weights(2.001), "within tolerance", "model.safetensors weight: up to 0.001 apart"),
        (weights(2.0), weights(2.01), "differs", "model.safetensors weight: up to 0.01 apart"),
        (weights(math.nan), weights(2.0), "differs", "weight: up to inf apart"),
        (weights(2.0), lambda f: tensors(f, bias=torch.zeros(3)), "differs", "weight: only then"),
        (weights(2.0), lambda f: tensors(f, bias=torch.zeros(4), weight=torch.ones(2)), "differs", "float32 [3] then"),
        (weights(2.0), lambda f: (f / "other.bin").write_bytes(b""), "differs", "model.safetensors: only then"),
    ],
)
def test_tensors(
    then: Callable[[Path], object],
    now: Callable[[Path], object],
    verdict: str,
    said: str,
    compared: Callable[..., RepeatComparison],
) -> None:
    answer = compared(then, now)
    assert answer.verdict == verdict
    assert said in answer.text


@pytest.mark.parametrize(("kind", "verdict"), [(torch.uint8, "within tolerance"), (torch.int64, "differs")])
def test_one_level_of_a_picture_is_tolerated_but_no_other_index(
    kind: torch.dtype, verdict: str, compared: Callable[..., RepeatComparison]
) -> None:
    answer = compared(*(lambda f, v=v: tensors(f, videos=torch.tensor([9, v]).to(kind)) for v in (100, 101)))
    assert answer.verdict == verdict
    assert "videos: up to 1 apart" in answer.text


@pytest.mark.parametrize(
    ("value", "name", "verdict"),
    [(0.5, "a", "bit-equal"), (0.5001, "a", "within tolerance"), (0.6, "a", "differs"), (0.5, "b", "differs")],
)
def test_tables(value: float, name: str, verdict: str, compared: Callable[..., RepeatComparison]) -> None:
    answer = compared(
        lambda f: table(f, clip=["x", "a"], value=[None, 0.5]),
        lambda f: table(f, clip=["x", name], value=[None, value]),
    )
    assert answer.verdict == verdict


def test_metrics_are_compared_and_the_largest_difference_is_named(compared: Callable[..., RepeatComparison]) -> None:
    answer = compared(weights(2.0), weights(2.01), loss=0.9, new=1.0)
    assert answer.verdict == "differs"
    assert answer.text == "metric new: only now; 2 more"


def test_a_page_is_a_finding_only_if_what_it_shows_is_the_same(
    tmp_path: Path, compared: Callable[..., RepeatComparison]
) -> None:
    def page(text: str, value: float) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            (folder / "page.html").write_text(text)
            (folder / "summary.json").write_text(json.dumps({"a": [value]}))

        return write

    answer = compared(page("a", 1.0), page("b", 1.0001))
    assert answer.verdict == "within tolerance"
    assert answer.text == "largest difference: summary.json a 1: 1.0 then, 1.0001 now"
    (again := tmp_path / "again").mkdir()
    old, new = (made(again / text, page(text, 1.0), {}) for text in "ab")
    answer = compare_runs(old, new, Tolerance())
    assert answer.verdict == "differs"
    assert "page.html: other bytes" in answer.text
