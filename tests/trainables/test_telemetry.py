"""Signs of life, samples, and the split of a trial's time."""

import os
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from storage.errors import UnavailableError
from storage.memory import MemoryStore
from trainables.telemetry import Telemetry, delete_pulses, read_pulse, read_pulses, usage


def wait_for_pulse(store: MemoryStore, beat: int) -> dict[str, object]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pulse = read_pulse(store, "study", "t0000")
        if pulse is not None and pulse["beat"] >= beat:
            return pulse
        time.sleep(0.02)
    raise AssertionError("no pulse came")


def test_a_pulse_says_where_and_how_far_and_goes_at_the_end() -> None:
    store = MemoryStore()
    with Telemetry(store, study="study", name="t0000", period=0.05) as telemetry:
        telemetry.begins("motion")
        telemetry.reached(3, {"loss": 0.5})
        pulse = wait_for_pulse(store, 3)
        assert (pulse["stage"], pulse["epoch"], pulse["metrics"]) == ("motion", 3, {"loss": 0.5})
        assert (pulse["host"], pulse["pid"]) == (os.uname().nodename, os.getpid())
        assert set(read_pulses(store, "study")) == {"t0000"}
    assert read_pulses(store, "study") == {}
    samples = telemetry.take()
    assert len(samples) >= 3
    assert telemetry.take() == []
    assert all(sample["metrics"]["system/system_memory_usage_megabytes"] > 10 for sample in samples)


def test_idle_grows_until_something_moves() -> None:
    store = MemoryStore()
    with Telemetry(store, study="study", name="t0000", period=0.05) as telemetry:
        time.sleep(0.4)
        before = wait_for_pulse(store, 4)["idle"]
        telemetry.reached(1, {})
        after = wait_for_pulse(store, int(str(wait_for_pulse(store, 1)["beat"])) + 1)["idle"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert after < before
    assert before > 0.15


def test_the_parts_of_the_time_add_up() -> None:
    telemetry = Telemetry()
    began = time.monotonic()
    with telemetry.spending("data"):
        time.sleep(0.05)
    with telemetry.spending("checkpoint"):
        time.sleep(0.1)
    time.sleep(0.05)
    split = telemetry.split()
    assert split["data"] >= 0.05
    assert split["checkpoint"] >= 0.1
    assert split["report"] == 0.0
    assert sum(split.values()) == pytest.approx(time.monotonic() - began, abs=0.05)


def test_a_store_that_is_away_is_no_reason_to_stop() -> None:
    class Gone(MemoryStore):
        def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
            raise UnavailableError("away")

    with Telemetry(Gone(), study="study", name="t0000", period=0.02) as telemetry:
        time.sleep(0.1)
    assert len(telemetry.take()) >= 2


def test_only_some_of_many_warnings_are_kept() -> None:
    telemetry = Telemetry()
    for number in range(1000):
        telemetry.warn(f"number {number}")
    assert telemetry.warnings[0] == "number 0"
    assert len(telemetry.warnings) == 10


def test_what_killed_workers_left_is_forgotten() -> None:
    store = MemoryStore()
    store.put("studies/study/pulses/t0000.json", b"{}")
    store.put("studies/other/pulses/t0000.json", b"{}")
    delete_pulses(store, "study")
    assert list(store.list("studies/")) == ["studies/other/pulses/t0000.json"]


def test_a_torch_that_is_just_being_imported_is_no_reason_to_fall_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.cuda", ModuleType("torch.cuda"))
    assert "system/cpu_utilization_percentage" in usage(psutil.Process())


def test_usage_is_of_this_process_alone() -> None:
    process = psutil.Process()
    process.cpu_percent()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    used = usage(process)
    assert used["system/cpu_utilization_percentage"] > 1
    expected = process.memory_info().rss / 1e6
    assert used["system/system_memory_usage_megabytes"] == pytest.approx(expected, rel=0.2)


def test_a_part_of_a_gpu_that_has_no_figure_of_its_use_does_not_end_the_signs_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NvmlError(Exception):
        """As of pynvml for MIG: no `RuntimeError`."""

    def refuses(number: int) -> int:
        raise NvmlError("Not Supported")

    cuda: Any = ModuleType("torch.cuda")
    cuda.is_initialized, cuda.device_count = lambda: True, lambda: 1
    cuda.memory_reserved = lambda number: 5_000_000
    cuda.get_device_properties = lambda number: SimpleNamespace(total_memory=50_000_000)
    cuda.utilization = refuses
    monkeypatch.setitem(sys.modules, "torch.cuda", cuda)
    used = usage(psutil.Process())
    assert used["system/gpu_0_memory_usage_megabytes"] == 5.0
    assert used["system/gpu_0_memory_usage_percentage"] == 10.0
    assert "system/gpu_0_utilization_percentage" not in used
