"""What identifies the weights and the further clips that reconstructed frames are retrieved with. Loads no network."""

from pathlib import Path
from typing import Any

from trainables.backbones.sources import check_model, locate, source_digest, source_files
from trainables.config.data import PreparedConfig
from trainables.config.trial import TrialConfig
from trainables.datasets.kinds import reader_of

FIELD = "retrieve.others"


def others_config(config: TrialConfig) -> PreparedConfig | None:
    """Return the data set of further clips. Raises `ValueError` if its folder holds none."""
    folder = config.retrieve.others
    if folder is None:
        return None
    if not (Path(folder) / "dataset.json").is_file():
        raise ValueError(
            f"{FIELD}: {folder} holds no prepared data set; name a folder that platform.prepare has written"
        )
    return PreparedConfig(path=folder)


def gallery_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies CLIP and the further clips. Raises `ValueError` if one of them is not there."""
    clip = locate(config.backbones.clip, kind="clip")
    check_model(clip, kind="clip", field="backbones.clip")
    others = others_config(config)
    further = {} if others is None else {"others": dict(reader_of(others.kind).clips_fingerprint(others))}
    return {"clip": source_digest(clip), **further}


def gallery_files(config: TrialConfig) -> list[Path]:
    """Return the files that `gallery_fingerprint` stands for."""
    others = others_config(config)
    further = [] if others is None else list(reader_of(others.kind).clips_files(others))
    return [*source_files(locate(config.backbones.clip, kind="clip")), *further]
