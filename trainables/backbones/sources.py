"""Where a backbone comes from: `phantom` (shipped), a local folder, or a name on the Hugging Face hub."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.content import settled_file_at
from trainables.backbones.stored_weights import fetched_weights

PHANTOM = Path(__file__).parent / "phantom"
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
_WEIGHTS = (".json", ".txt", ".safetensors", ".bin")


@dataclass(frozen=True)
class WeightSource:
    """Weights that `from_pretrained` can load."""

    location: str
    """A folder or a hub name."""
    revision: str | None
    """Only for hub names (`name@revision`)."""
    is_folder: bool


def locate(source: str, *, kind: str) -> WeightSource:
    """Return what the config's `source` means for backbone `kind` (`stable_diffusion` or `clip`).

    What lies in a store is fetched to this machine.

    Raises:
        ValueError: It is neither `phantom`, nor an existing folder, nor formed like a hub name; or the store fails.
    """
    if "://" in source:
        return WeightSource(str(fetched_weights(source, kind=kind)), None, True)
    folder = PHANTOM / kind if source == "phantom" else Path(source).expanduser()
    if folder.is_dir():
        return WeightSource(str(folder), None, True)
    match = _HUB_NAME.fullmatch(source)
    if source == "phantom" or match is None:
        raise ValueError(
            f"backbones.{kind}: {source!r} is no folder here ({folder}); give 'phantom', a folder, a URI such as "
            "s3://bucket/folder, or a hub name such as 'openai/clip-vit-base-patch32@COMMIT'"
        )
    return WeightSource(match["name"], match["revision"], False)


def class_count(source: str, *, kind: str) -> int | None:
    """Return the number of classes of a classifier from its config.json; None of a name on the hub, or without one."""
    located = locate(source, kind=kind)
    file = Path(located.location) / "config.json"
    if not located.is_folder or not file.is_file():
        return None
    config = json.loads(file.read_text(encoding="utf-8"))
    labels = config.get("id2label")
    return len(labels) if labels else config.get("num_labels")


def is_unpinned(source: str) -> bool:
    """Return whether `source` is a name on the hub without a revision, whose weights can change under the name."""
    match = None if source == "phantom" or Path(source).expanduser().is_dir() else _HUB_NAME.fullmatch(source)
    return match is not None and match["revision"] is None


def source_files(source: WeightSource, *, parts: Iterable[str] = (".",)) -> list[Path]:
    """Return the files of a folder's `parts` that decide what is loaded; none for a hub name."""
    root = Path(source.location)
    found = [path for part in parts for path in (root / part).glob("*")] if source.is_folder else []
    return sorted(path for path in found if path.suffix in _WEIGHTS)


def source_digest(source: WeightSource, *, parts: Iterable[str] = (".",)) -> Any:
    """Return JSON that changes when the weights do: a digest of a folder's `parts`, or the hub name and revision."""
    if not source.is_folder:
        return {"name": source.location, "revision": source.revision}
    root = Path(source.location)
    total = hashlib.sha256()
    for path in source_files(source, parts=parts):
        digest = settled_file_at(path).digest  # hashed once per process: a study asks for each of its trials
        total.update(f"{path.relative_to(root).as_posix()} {digest}\n".encode())
    return {"sha256": total.hexdigest()}


def variant_of(source: WeightSource, part: str = ".") -> dict[str, str]:
    """Return the option of `from_pretrained` for a folder whose weights are of one variant alone, such as fp16."""
    names = [path.name for path in (Path(source.location) / part).glob("*.safetensors*")] if source.is_folder else []
    halves = [name for name in names if ".fp16" in name]
    return {"variant": "fp16"} if halves and len(halves) == len(names) else {}


def refuse_missing(report: Mapping[str, Any], *, what: str, location: str) -> None:
    """Refuse a model that lacks weights: the libraries would only log it and leave these at random.

    Args:
        report: The loading info of `from_pretrained`.
        what: The model, in words.
        location: The folder or hub name.

    Raises:
        ValueError: Weights are missing; the message names the first three.
    """
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"the {what} in {location} lacks {len(missing)} weights that its config asks for: {missing[:3]}"
        )
