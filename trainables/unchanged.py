"""Refuses to keep a result whose files are not, or no longer, those that its identity was computed from.

A study is planned in one process and run in others, later and perhaps on other machines. A file that is replaced in
between, and put back afterwards, would otherwise leave its content in the store under the identity of the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.config.trial import TrialConfig
from trainables.datasets.errors import ChangedError
from trainables.file_version import FileVersion, version_of
from trainables.graph import StageRun, resolve_reference
from trainables.identity import canonical
from trainables.stage_table import STAGES

_State = dict[str, FileVersion | None]


@contextmanager
def unchanged_files(run: StageRun, config: TrialConfig) -> Iterator[None]:
    """Raise unless the files of `run` are those it was planned with, and are not touched during the block.

    Raises:
        ChangedError: They are not. A file that was replaced and put back during the block counts as changed.
    """
    stage = STAGES[run.stage]
    if stage.files is None or stage.fingerprint is None:
        yield
        return
    before = _state(stage.files, config)
    current = resolve_reference(stage.fingerprint)(config)
    if canonical(current) != canonical(run.config.get("fingerprint", {})):
        raise ChangedError(
            f"the files that {run.stage} reads are not those that the study was planned with: "
            f"{_difference(run, current)}; run the command again, which plans with the files as they are now"
        )
    yield
    after = _state(stage.files, config)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if changed:
        raise ChangedError(
            f"{', '.join(changed[:3])} changed while {run.stage} was reading; its result is not kept. Leave the files "
            "alone and run the command again"
        )


def _difference(run: StageRun, current: dict[str, object]) -> str:
    planned = run.config.get("fingerprint", {})
    names = sorted(name for name in planned.keys() | current.keys() if planned.get(name) != current.get(name))
    return ", ".join("weights" if name == "sha256" else name for name in names)  # one folder has no name in it


def _state(reference: str, config: TrialConfig) -> _State:
    return {str(path): _version(path) for path in resolve_reference(reference)(config)}


def _version(path: Path) -> FileVersion | None:
    try:
        return version_of(path)
    except OSError:
        return None
