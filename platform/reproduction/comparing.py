"""Compares the artifacts of a recorded and a repeated stage run: files by digest, and by value if digests differ."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from storage.errors import StoreError
from storage.runs import Artifacts, Manifest

if TYPE_CHECKING:
    from torch import Tensor

_SHOWING = (".html", ".png")
"""Files that only display other files. If the displayed data differs, they are not reported separately."""
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Tolerance:
    """The tolerated difference to the recorded number: `atol + rtol * |recorded|`; for uint8 at least one level."""

    rtol: float = 1e-4
    atol: float = 1e-6


@dataclass(frozen=True)
class Gap:
    """One difference."""

    share: float
    """The difference relative to the tolerance: above 1 is too large; infinity if it has no size."""
    text: str


@dataclass(frozen=True)
class RepeatComparison:
    """The result of comparing a repetition with the record."""

    verdict: Literal["bit-equal", "within tolerance", "differs"]
    text: str


def compare_runs(recorded: Artifacts, repeated: Artifacts, tolerance: Tolerance) -> RepeatComparison:
    """Compare files, metrics and metrics per epoch; times and hosts are ignored."""
    then, now = recorded.manifest, repeated.manifest
    gaps = [*_number_gaps(then, now, tolerance), *_file_gaps(recorded, repeated, tolerance)]
    shown = [name for name in _changed(then, now) if name.endswith(_SHOWING)]
    if shown and not gaps:
        gaps = [Gap(math.inf, f"{name}: other bytes, although the displayed data is equal") for name in shown]
    if not gaps:
        numbers = f"{len(then.files)} files, {len(then.metrics)} metrics, {len(then.history)} epochs"
        return RepeatComparison("bit-equal", numbers)
    worst = max(gaps, key=lambda gap: gap.share)
    if worst.share <= 1.0:
        return RepeatComparison("within tolerance", f"largest difference: {worst.text}")
    more = sum(gap.share > 1.0 for gap in gaps) - 1
    return RepeatComparison("differs", worst.text + (f"; {more} more" if more else ""))


def _changed(then: Manifest, now: Manifest) -> list[str]:
    """Return the files that both have with different bytes."""
    return [name for name in sorted(then.files.keys() & now.files.keys()) if then.files[name] != now.files[name]]


def _number_gaps(then: Manifest, now: Manifest, tolerance: Tolerance) -> Iterator[Gap]:
    yield from value_gaps("metric", dict(then.metrics), dict(now.metrics), tolerance)
    old, new = ([dict(row) for row in manifest.history] for manifest in (then, now))
    yield from value_gaps("epoch", old, new, tolerance)


def _file_gaps(recorded: Artifacts, repeated: Artifacts, tolerance: Tolerance) -> Iterator[Gap]:
    """Yield the largest gap of each data file."""
    then, now = recorded.manifest, repeated.manifest
    for name in sorted(then.files.keys() ^ now.files.keys()):
        yield Gap(math.inf, f"{name}: only {'then' if name in then.files else 'now'}")
    for name in _changed(then, now):
        if name.endswith(_SHOWING):
            continue
        try:
            old = recorded.path(name)
        except StoreError as error:
            yield Gap(math.inf, f"{name}: other bytes than recorded, and no stored copy to compare with: {error}")
            continue
        gaps = list(_content_gaps(name, old, repeated.path(name), tolerance))
        yield max(gaps, key=lambda gap: gap.share) if gaps else Gap(0.0, f"{name}: equal values in other bytes")


def _content_gaps(name: str, then: Path, now: Path, tolerance: Tolerance) -> Iterator[Gap]:
    if name.endswith(".safetensors"):
        yield from _tensor_gaps(name, then, now, tolerance)
    elif name.endswith(".json"):
        yield from value_gaps(name, json.loads(then.read_bytes()), json.loads(now.read_bytes()), tolerance)
    elif name.endswith(".parquet"):
        from pyarrow import parquet

        old, new = (parquet.read_table(path).to_pydict() for path in (then, now))
        yield from value_gaps(name, old, new, tolerance)
    else:
        yield Gap(math.inf, f"{name}: other bytes, which cannot be compared by value")


def value_gaps(path: str, then: Any, now: Any, tolerance: Tolerance) -> Iterator[Gap]:
    """Yield the differences of two JSON values, each with its path."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in [*then, *(name for name in now if name not in then)]:
            if name in then and name in now:
                yield from value_gaps(f"{path} {name}", then[name], now[name], tolerance)
            else:
                yield Gap(math.inf, f"{path} {name}: only {'then' if name in then else 'now'}")
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            yield Gap(math.inf, f"{path}: {len(then)} then, {len(now)} now")
        for position, (old, new) in enumerate(zip(then, now, strict=False), start=1):
            yield from value_gaps(f"{path} {position}", old, new, tolerance)
    elif then != now and not (_is_nan(then) and _is_nan(now)):
        yield Gap(_share(then, now, tolerance), f"{path}: {then!r} then, {now!r} now")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _share(then: Any, now: Any, tolerance: Tolerance) -> float:
    """Return the difference of two unequal values relative to the tolerance; only floats have a tolerance."""
    if not (isinstance(then, float) and isinstance(now, float) and math.isfinite(then) and math.isfinite(now)):
        return math.inf
    allowed = tolerance.atol + tolerance.rtol * abs(then)
    return abs(then - now) / allowed if allowed > 0.0 else math.inf


def _tensor_gaps(name: str, then: Path, now: Path, tolerance: Tolerance) -> Iterator[Gap]:
    from safetensors import safe_open

    with safe_open(then, framework="pt") as old, safe_open(now, framework="pt") as new:
        before, after = set(old.keys()), set(new.keys())
        for key in sorted(before ^ after):
            yield Gap(math.inf, f"{name} {key}: only {'then' if key in before else 'now'}")
        for key in sorted(before & after):
            yield from _one_tensor(f"{name} {key}", old.get_tensor(key), new.get_tensor(key), tolerance)


def _one_tensor(path: str, then: "Tensor", now: "Tensor", tolerance: Tolerance) -> Iterator[Gap]:
    import torch

    if then.shape != now.shape or then.dtype != now.dtype:
        kinds = [f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}" for tensor in (then, now)]
        yield Gap(math.inf, f"{path}: {kinds[0]} then, {kinds[1]} now")
        return
    level = 1.0 if then.dtype == torch.uint8 else 0.0  # a picture's
    graded = then.is_floating_point() or level > 0.0
    share = largest = 0.0
    for old, new in zip(torch.split(then.flatten(), _CHUNK), torch.split(now.flatten(), _CHUNK), strict=True):
        old, new = old.double(), new.double()
        equal = (old == new) | (old.isnan() & new.isnan())
        distance = torch.where(equal, 0.0, (old - new).abs()).nan_to_num(nan=math.inf)
        allowed = (tolerance.atol + tolerance.rtol * old.abs()).clamp(min=level)
        shares = torch.where(equal, 0.0, distance / allowed).nan_to_num(nan=math.inf)
        share, largest = max(share, shares.max().item()), max(largest, distance.max().item())
    if share > 0.0:
        yield Gap(share if graded else math.inf, f"{path}: up to {largest:.3g} apart")
