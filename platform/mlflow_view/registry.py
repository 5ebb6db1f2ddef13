"""The best trial of a study in MLflow's model registry: decoders as safetensors and JSON, without pickle or signature.

A study has one registered model, `mindsweep.<study>`. Each version is a trial that was the best when the study was
finished. The alias `best` points to the latest version. Its files are artifacts of that trial's run,
`model/<stage>/...`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from platform.mlflow_view.client import connected
from platform.mlflow_view.summary import MODEL
from platform.record.results import Result
from storage.runs import RunStore

if TYPE_CHECKING:
    from torch import nn

    from platform.mlflow_view.client import MlflowClient

_FOLDER = "model"
_BEST = "best"
_PREDICTIONS = "predictions.safetensors"
_TRIAL = "mindsweep.trial"


def registered_name(study: str) -> str:
    """Return the name of the registered model of a study."""
    return f"mindsweep.{study}"


def save_decoders(runs: RunStore, best: Result, folder: Path) -> tuple[str, ...]:
    """Write the decoders of trial `best` into one subfolder of `folder` per stage; return the stages."""
    manifests = {stage: runs.find(identity) for stage, identity in best.identities.items()}
    stages = tuple(
        stage
        for stage, manifest in manifests.items()
        if manifest is not None and {MODEL, _PREDICTIONS} <= manifest.files.keys() and "voxels" in manifest.inputs
    )
    if stages:
        from trainables.saved import save_decoder  # torch takes seconds to import
    for stage in stages:
        save_decoder(runs, best.identities[stage], folder / stage)
    return stages


def register(client: "MlflowClient", study: str, *, run: str, files: Path, tags: Mapping[str, str]) -> None:
    """Log the `files` as artifacts of the best trial's run, and register a version with the alias `best`.

    If the trial is a version already, only the alias is set.
    """
    name, trial = registered_name(study), tags[_TRIAL]
    if not client.search_registered_models(f"name = '{name}'"):
        note = f"The best trials of study `{study}`; `platform.mlflow_view.registry.load_best` loads the latest."
        client.create_registered_model(name, description=note)
    stored = client.search_model_versions(f"name = '{name}'")
    versions = {version.tags[_TRIAL]: version.version for version in stored}
    if trial not in versions:
        client.log_artifacts(run, str(files), _FOLDER)
        source = f"{client.get_run(run).info.artifact_uri}/{_FOLDER}"
        versions[trial] = client.create_model_version(name, source, run_id=run, tags=dict(tags)).version
    client.set_registered_model_alias(name, _BEST, versions[trial])


def load_best(study: str, *, tracking: str) -> "dict[str, nn.Module]":
    """Return the decoders of the best trial of a study, by stage, in evaluation mode on the CPU.

    Args:
        study: The id of the study, as `platform.sweep` and the UI show it.
        tracking: URI of the MLflow server or database. The store is not needed.

    Example:
        >>> decoders = load_best("cmg-1a2b3c4d", tracking=tracking)  # tracking: URI of the server with that study
        >>> sorted(decoders)
        ['motion', 'structure']
    """
    from trainables.saved import load_decoder

    client = connected(tracking)
    version = client.get_model_version_by_alias(registered_name(study), _BEST)
    assert version.run_id is not None  # `register` sets it
    with tempfile.TemporaryDirectory() as folder:
        files = Path(client.download_artifacts(version.run_id, _FOLDER, folder))
        return {stage.name: load_decoder(stage) for stage in sorted(files.iterdir())}
