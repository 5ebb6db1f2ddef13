"""A killed driver leaves no files for MLflow in the temporary folder: the next one removes them."""

from pathlib import Path
from typing import Any

import pytest

from platform.mlflow_view.client import TEMPORARY, log
from platform.mlflow_view.mirror import Entries


class Client:
    """Stands for MLflow's: keeps the files that it is given, and what else is in their folders."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.folders: set[Path] = set()

    def log_artifact(self, run: str, path: str) -> None:
        assert run == "run"
        self.texts[Path(path).name] = Path(path).read_text(encoding="utf-8")
        self.folders.add(Path(path).parent.parent)
        assert (Path(path).parent.parent / "owner.json").exists()


def test_texts_lie_in_a_folder_with_an_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client: Any = Client()
    entries = Entries()
    entries.texts.update({"config.json": "{}", "error.txt": "größer"})
    log(client, "run", entries)
    assert client.texts == {"config.json": "{}", "error.txt": "größer"}
    assert all(folder.parent == tmp_path and folder.name.startswith(TEMPORARY) for folder in client.folders)
    assert list(tmp_path.iterdir()) == []
