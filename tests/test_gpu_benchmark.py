"""The benchmark of GPUs without one: the same code at tiny sizes, and a file that the next call goes on with."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import PARTS, Bench, measure

TINY = Bench(torch.device("cpu"), tiny=True)
REAL = Bench(torch.device("cpu"), tiny=False)


@pytest.mark.long
def test_every_part_computes_something(tmp_path: Path) -> None:
    found = measure(TINY, tmp_path / "gpu.json", parts=tuple(PARTS), seconds=0)
    assert json.loads((tmp_path / "gpu.json").read_text()) == found
    assert found["parity"]["motion"]["weights_relative"] == 0, "both devices are the CPU"
    assert found["parity"]["motion"]["loss"] > 0
    assert 0 < found["products"]["matrix_fp32"] < 1e-6
    assert found["memory"]["8 rows, fp32"]["forecast"] > 3 * found["memory"]["2 rows, fp32"]["forecast"]
    for part in ("training", "judges"):
        assert all(row["ratio"] > 0 for name, row in found[part].items() if name != "seconds")
    assert float(found["generation"]["difference_fp32"]) < 1e-4, "both ways make the same clip"


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def failing(bench: Bench) -> gpu.Found:
        raise RuntimeError("the GPU fell off the bus")

    def works(bench: Bench) -> gpu.Found:
        calls.append("works")
        return {"value": 1}

    out = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "PARTS", {"works": (works, 1.0), "fails": (failing, 1.0)})
    with pytest.raises(RuntimeError, match="fell off"):
        measure(TINY, out, parts=("works", "fails"), seconds=60)
    assert json.loads(out.read_text())["works"]["value"] == 1
    monkeypatch.setattr(gpu, "PARTS", {"works": (works, 1.0), "fails": (works, 1.0)})
    assert set(measure(TINY, out, parts=("works", "fails"), seconds=60)) == {"works", "fails", "machine"}
    assert calls == ["works", "works"]


def test_a_part_for_which_no_time_is_left_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "PARTS", {"short": (lambda bench: {}, 1.0), "long": (lambda bench: {}, 100.0)})
    assert set(measure(REAL, tmp_path / "gpu.json", parts=("short", "long"), seconds=50)) == {"short", "machine"}
    assert "long: no time is left; the same command runs it" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit, match="finds no CUDA device; --size tiny --device cpu runs without one"):
        gpu.main()
