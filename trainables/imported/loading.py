"""Reads checkpoints of others without executing anything in them, and loads imported weights into a network."""

import json
import re
import shutil
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from storage.content import file_at
from trainables.datasets.errors import some
from trainables.imported.author_names import Rule, renamed
from trainables.imported.weights_folder import FACTS, FORMAT, MODEL

_NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which a checkpoint may hold the tensors of the network."""
_CONFIGS = ("yacs.config.CfgNode",)
"""Classes of configs that stand beside tensors. They are dicts and are read as such: none of their code runs."""
_SHOWN = 8


@dataclass(frozen=True)
class Source:
    """Where imported weights come from."""

    file: Path
    sha256: str

    @classmethod
    def of(cls, file: Path) -> "Source":
        """Return the source of a file."""
        return cls(file, file_at(file).digest)


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint: safetensors, or a file of `torch.save`. Nothing in it is executed.

    Raises:
        ValueError: The file cannot be read, could run code, or holds no tensors by name or none that are weights.
    """
    try:
        tensors = load_file(file) if file.suffix == ".safetensors" else _state(_unpickled(file), file)
    except OSError as error:
        reason = (
            "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise ValueError(f"{file}: {reason}") from error
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged; copy or download it again: {error}") from error
    wrong = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point() and not _finite(tensor))
    if wrong:
        raise ValueError(f"{file}: not all values are finite: {_some(wrong)}; was the training stopped by an error?")
    return tensors


def _unpickled(file: Path) -> Any:
    """Return what `torch.save` wrote. Raises `OSError`, or `ValueError` with what to do."""
    try:
        with torch.serialization.safe_globals([(OrderedDict, name) for name in _CONFIGS]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles in another protocol
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever it likes on damaged and on unsafe files
        raise ValueError(f"{file} {_why_unreadable(file, error)}") from error


def _why_unreadable(file: Path, error: Exception) -> str:
    """Return what is wrong and what to do. Torch's own advice, to execute what is in the file, is not repeated."""
    if "TorchScript" in str(error):
        return (
            "is a program (TorchScript), not weights; where you trust it, save its tensors alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
        )
    try:
        code = sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(file)) - set(_CONFIGS))
    except Exception:  # as above: it reads the same file
        code = []
    if code:
        return (
            f"holds more than tensors, and reading it could run code: {_some(code)}; where you trust it, save its "
            "tensors alone: torch.save(checkpoint['state_dict'], OTHER)"
        )
    if not isinstance(error, RuntimeError) and zipfile.is_zipfile(file):
        return (
            "holds more than tensors; where you trust it, save its tensors alone: torch.save(model.state_dict(), OTHER)"
        )
    return "is damaged or is no checkpoint of torch.save; copy or download it again"


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def _state(content: Any, file: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        nested = [key for key in _NESTED if isinstance(content.get(key), Mapping)]
        if not nested:
            break
        content = content[nested[0]]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{file} holds no tensors by name")
    other = sorted(str(name) for name, value in content.items() if not isinstance(value, Tensor))
    if other:
        raise ValueError(f"{file} holds other things than tensors: {_some(other)}")
    return {re.sub(r"^module\.", "", str(name)): value for name, value in content.items()}


def check_against(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what keeps `tensors` from being exactly the weights of `network`: names and shapes."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return list(_problems(expected, found))


def _problems(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    if missing := sorted(expected.keys() - found.keys()):
        yield f"missing: {_some(missing)}"
    if left := sorted(found.keys() - expected.keys()):
        yield f"of no use to this network: {_some(left)}"
    common = sorted(expected.keys() & found.keys())
    shapes = [
        f"{n} is {list(found[n])}, the network has {list(expected[n])}" for n in common if expected[n] != found[n]
    ]
    if shapes:
        yield f"of another size: {_some(shapes)}"


def _some(names: Iterable[str]) -> str:
    return some(names, most=_SHOWN)


def converted(tensors: Mapping[str, Tensor], rules: tuple[Rule, ...], *, file: Path) -> dict[str, Tensor]:
    """Return the tensors of `file` under our names, as float32.

    Raises:
        ValueError: As `renamed`, or a tensor that is used holds whole numbers.
    """
    names = renamed(tensors, rules)
    if whole := sorted(name for name in names if not tensors[name].is_floating_point()):
        raise ValueError(
            f"{file}: tensors of whole numbers, perhaps quantised: {_some(whole)}; save them as floating-point numbers"
        )
    return {ours: tensors[theirs].float().contiguous() for theirs, ours in names.items()}


def write_weights(
    folder: Path, tensors: Mapping[str, Tensor], *, stage: str, kind: str, network: Mapping[str, Any], source: Source
) -> None:
    """Write imported weights into `folder`, which must not exist. It appears whole or not at all.

    Args:
        folder: The folder.
        tensors: The weights by our names.
        stage: The stage that they are of.
        kind: The kind of its network.
        network: The config fields that make this network (`weights_folder.network_of`).
        source: The file that they come from.
    """
    facts = {
        "format": FORMAT,
        "stage": stage,
        "kind": kind,
        "network": dict(network),
        "file": source.file.name,
        "sha256": source.sha256,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
    }
    with written_whole(folder) as unfinished:
        save_file(dict(tensors), unfinished / MODEL)
        (unfinished / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Yield a folder to write weights and `FACTS` into.

    At the end it becomes `folder`, which must not exist; after an error it is gone.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        for file in unfinished.glob("*.safetensors"):
            shutil.copymode(unfinished / FACTS, file)  # safetensors lets nobody but the user read its files
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_weights(network: nn.Module, folder: Path, *, field: str) -> None:
    """Load the weights in `folder` into `network`.

    Raises:
        ValueError: They are of another network: the error names tensors and sizes, such as the number of voxels.
    """
    tensors = load_file(folder / MODEL)
    problems = check_against(network, tensors)
    if problems:
        raise ValueError(
            f"{field}: the weights in {folder} are not those of this network: {'; '.join(problems)}. Where the first "
            "layer differs, they are of a subject with another number of voxels"
        )
    network.load_state_dict(tensors)
