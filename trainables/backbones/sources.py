"""Where a backbone comes from: `phantom` (shipped), a local folder, or a name on the Hugging Face hub."""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.content import settled_file_at
from trainables.backbones.stored_weights import fetched_weights

_log = logging.getLogger(__name__)
PHANTOM = Path(__file__).parent / "phantom"
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_WEIGHTS = (".json", ".txt", ".safetensors", ".bin")


@dataclass(frozen=True)
class WeightSource:
    """Weights that `from_pretrained` can load."""

    location: str
    """A folder or a hub name."""
    revision: str | None
    """Only for hub names (`name@revision`)."""
    is_folder: bool


def locate(source: str, *, kind: str, field: str | None = None) -> WeightSource:
    """Return what the config's `source` means for backbone `kind` (`stable_diffusion` or `clip`).

    What lies in a store is fetched to this machine.

    Args:
        source: `phantom`, a folder, a URI or a name on the hub.
        kind: The folder among the phantom's.
        field: The config field, for the error; None: `backbones.KIND`.

    Raises:
        ValueError: It is neither `phantom`, nor an existing folder, nor formed like a hub name; or the store fails; or
            the hub is not to be asked (HF_HUB_OFFLINE) and its cache lacks the name.
    """
    field = f"backbones.{kind}" if field is None else field
    if "://" in source:
        try:
            return WeightSource(str(fetched_weights(source)), None, True)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from error
    folder = PHANTOM / kind if source == "phantom" else Path(source).expanduser()
    if folder.is_dir():
        return WeightSource(str(folder), None, True)
    if folder.is_file():
        raise ValueError(
            f"{field}: {source} is a file; give the folder of a model. ViFi-CLIP's file becomes one by python -m "
            "platform.checkpoint import FILE --judge vifi"
        )
    match = _HUB_NAME.fullmatch(source)
    if source == "phantom" or match is None:
        raise ValueError(
            f"{field}: {source!r} is no folder here ({folder}); give 'phantom', a folder, a URI such as "
            "s3://bucket/folder, or a hub name such as 'openai/clip-vit-base-patch32@COMMIT'"
        )
    _refuse_uncached(match["name"], match["revision"], field=field)
    return WeightSource(match["name"], match["revision"], False)


def _refuse_uncached(name: str, revision: str | None, *, field: str) -> None:
    """Raise `ValueError` if the hub is not to be asked and its cache holds nothing of this name and revision."""
    from huggingface_hub import constants  # half a second to import, and only names on the hub need it

    if not constants.HF_HUB_OFFLINE:
        return
    model = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    wanted = "main" if revision is None else revision
    if not (model / "snapshots" / wanted).is_dir() and not (model / "refs" / wanted).is_file():
        raise ValueError(
            f"{field}: HF_HUB_OFFLINE is set, and the hub's cache ({constants.HF_HUB_CACHE}) lacks revision {wanted} "
            f"of {name}; fetch it where there is a network (hf download {name} --revision {wanted}), or name a folder"
        )


@dataclass(frozen=True)
class _Kind:
    name: str
    key: str
    """Of config.json."""
    values: str
    """Regular expression of what is written there."""


_KINDS: Mapping[str, _Kind] = {
    "clip": _Kind("CLIP model", "model_type", r"clip|clip_vision_model"),
    "image_classifier": _Kind("image classifier", "architectures", r"\w+ForImageClassification\w*"),
    "video_classifier": _Kind("video classifier", "architectures", r"\w+ForVideoClassification"),
}


def check_model(source: WeightSource, *, kind: str, field: str, whole: bool = True) -> None:
    """Check that a folder holds a model of `kind` (of `_KINDS`), as far as its config.json tells.

    Args:
        source: What `locate` returned. A name on the hub is checked when it is loaded.
        kind: As for `locate`.
        field: The config field, for the error.
        whole: Whether a CLIP model must have its text half.

    Raises:
        ValueError: It holds a model of another kind, or none.
    """
    if not source.is_folder:
        return
    folder, wanted = Path(source.location), _KINDS[kind]
    if not (folder / "config.json").is_file():
        raise ValueError(f"{field}: {folder} has no config.json; it must be the folder of a model ({wanted.name})")
    written = _config_of(folder).get(wanted.key)
    names = [str(name) for name in (written if isinstance(written, list) else [written]) if name is not None]
    if names and not any(re.fullmatch(wanted.values, name) for name in names):
        raise ValueError(f"{field}: {folder} holds {', '.join(names)}, which is no {wanted.name}; name another folder")
    if whole and "clip_vision_model" in names:
        raise ValueError(f"{field}: {folder} holds the image half of a CLIP model; texts need the whole model")


def check_parts(source: WeightSource, parts: Iterable[str], *, field: str) -> None:
    """Check that a folder has the sub-folders `parts` of a Stable Diffusion model. Raises `ValueError`."""
    lacking = [part for part in parts if source.is_folder and not (Path(source.location) / part).is_dir()]
    if lacking:
        raise ValueError(
            f"{field}: {source.location} lacks {', '.join(lacking)}; it must be a Stable Diffusion model's folder"
        )


def _config_of(folder: Path) -> Mapping[str, Any]:
    """Return config.json; empty if it is missing or damaged, of which loading the model tells more."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def class_count(source: str, *, kind: str) -> int | None:
    """Return the number of classes of a classifier from its config.json; None if that cannot be read here."""
    try:
        located = locate(source, kind=kind)
    except ValueError:
        return None
    if not located.is_folder:
        return None
    config = _config_of(Path(located.location))
    labels = config.get("id2label")
    return len(labels) if labels else config.get("num_labels")


def is_unpinned(source: str) -> bool:
    """Return whether `source` is a name on the hub without a commit, whose weights can change under the name."""
    match = None if source == "phantom" or Path(source).expanduser().is_dir() else _HUB_NAME.fullmatch(source)
    return match is not None and _can_move(match["revision"])


def _can_move(revision: str | None) -> bool:
    """Return whether a revision is a branch or a tag, whose owner can let it mean another commit."""
    return revision is None or _COMMIT.fullmatch(revision) is None


def warn_of_commit(source: WeightSource, *, file: str) -> None:
    """Log which commit of a hub name was loaded if it names none: the stage run's manifest keeps the warning.

    Args:
        source: Has been loaded just now.
        file: One of the files that were loaded.
    """
    if source.is_folder or not _can_move(source.revision):
        return
    from huggingface_hub import try_to_load_from_cache  # its import costs a plan half a second

    found = try_to_load_from_cache(source.location, file, revision=source.revision)
    commit = Path(found).parts[-1 - len(Path(file).parts)] if isinstance(found, str) else "an unknown commit"
    pinned = f"; {source.location}@{commit} fixes it" if isinstance(found, str) else ""
    _log.warning("%s names no commit; the loaded weights are of %s%s", source.location, commit, pinned)


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
