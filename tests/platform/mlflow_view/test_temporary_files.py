"""A killed driver leaves no files for MLflow in the temporary folder: the next one removes them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from platform.mlflow_view.client import TEMPORARY, log
from platform.mlflow_view.mirror import Entries
from platform.tracking_uri import default_tracking


def test_texts_lie_in_a_folder_with_an_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, str] = {}

    def log_artifact(repository: LocalArtifactRepository, path: str) -> None:
        owned = Path(path).parent.parent
        assert repository.artifact_dir == str(tmp_path / "run")
        assert owned.parent == tmp_path / "temporary"
        assert owned.name.startswith(TEMPORARY)
        assert (owned / "owner.json").exists()
        kept[Path(path).name] = Path(path).read_text(encoding="utf-8")

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(LocalArtifactRepository, "log_artifact", log_artifact)
    entries = Entries()
    entries.texts.update({"config.json": "{}", "error.txt": "größer"})
    run: Any = SimpleNamespace(run_id="run", artifact_uri=str(tmp_path / "run"))
    log(MlflowClient(default_tracking(tmp_path)), run, entries)
    assert kept == {"config.json": "{}", "error.txt": "größer"}
    assert list((tmp_path / "temporary").iterdir()) == []
