"""Files of tensors that are written by rows have the bytes of those that are written at once."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from trainables.tensors import TensorShape, TensorWriter, map_tensors


def tensors() -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    return {
        "clips": rng.integers(0, 255, (5, 2, 3), dtype=np.uint8),
        "bold": rng.normal(size=(7, 3)).astype(np.float32),
        "also": rng.normal(size=(2,)).astype(np.float32),
        "index": np.arange(5),
        "roi \u00e4": np.arange(3, dtype=np.int16),
        "empty": np.empty((0, 4), np.float32),
        "scale": np.array(2.5),
        "kept": np.array([True, False]),
    }


def shapes_of(values: dict[str, NDArray[np.generic]]) -> dict[str, TensorShape]:
    return {name: TensorShape(value.dtype, value.shape) for name, value in values.items()}


@pytest.mark.parametrize("step", [1, 3])
def test_the_bytes_are_those_of_safetensors(tmp_path: Path, step: int) -> None:
    values = tensors()
    save_file(values, tmp_path / "whole")
    with TensorWriter(tmp_path / "pieces", shapes_of(values)) as file:
        for name, value in values.items():
            if value.ndim == 0:
                file.write_whole(name, value)
            for first in reversed(range(0, len(value) if value.ndim else 0, step)):
                file.write(name, first, value[first : first + step])
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    for name, value in map_tensors(tmp_path / "whole").items():
        np.testing.assert_array_equal(value, load_file(tmp_path / "pieces")[name])


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with TensorWriter(tmp_path / "a", {"a": TensorShape("float32", (4, 2))}) as file:
        with pytest.raises(ValueError, match=r"a holds float32 \[4, 2\], not float64 \[1, 2\]"):
            file.write("a", 0, np.zeros((1, 2)))
        with pytest.raises(ValueError, match="a has 4 rows, not rows 3 to 5"):
            file.write("a", 3, np.zeros((2, 2), np.float32))
        with pytest.raises(ValueError, match=r"a has shape \[4, 2\], not \[4, 3\]"):
            file.write_whole("a", np.zeros((4, 3), np.float32))
        file.write_whole("a", np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="tensors of complex128 cannot be written"):
        TensorWriter(tmp_path / "b", {"b": TensorShape("complex128", (1,))})


@pytest.mark.parametrize("rows", [3, 5])
def test_a_file_that_is_not_complete_is_removed(tmp_path: Path, rows: int) -> None:
    def write() -> None:
        with TensorWriter(tmp_path / "a", {"a": TensorShape("int64", (4,))}) as file:
            file.write("a", 0, np.arange(3))
            file.write("a", 1, np.arange(rows - 3))

    with pytest.raises(ValueError, match="a: not every row was written exactly once of a"):
        write()
    assert not (tmp_path / "a").exists()


def test_a_file_whose_block_raises_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), TensorWriter(tmp_path / "a", {"a": TensorShape("int64", (4,))}):
        raise KeyError
    assert not (tmp_path / "a").exists()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no tensors at all, but longer than its head")
    with pytest.raises(ValueError, match="a is no file of tensors"):
        map_tensors(tmp_path / "a")
    save_file({"a": np.arange(100)}, tmp_path / "b")
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:-8])
    with pytest.raises(ValueError, match="mmap length is greater than file size"):
        map_tensors(tmp_path / "b")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        with TensorWriter(tmp_path / "a", {"a": TensorShape("float32", (rows, 10_000))}) as file:
            for first in range(0, rows, 10):
                file.write("a", first, np.ones((10, 10_000), np.float32))
        total = sum(float(map_tensors(tmp_path / "a")["a"][first : first + 10].sum()) for first in range(0, rows, 10))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == rows * 10_000
        return highest

    assert peak(400) < 1.1 * peak(100) < 2_000_000
