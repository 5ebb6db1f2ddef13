"""What tests of several readers use."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the module's `published` data set that a test may damage."""
    return shutil.copytree(published, tmp_path / "data")
