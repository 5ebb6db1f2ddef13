"""Fixtures of the tests of reproduction."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from platform.reproduce import main
from storage.runs import Manifest
from tests.platform.reproduction.recorded import Answer, Records
from trainables.config.trial import TrialConfig
from trainables.execute import execute
from trainables.graph import StageRun

TINY = {
    "features.latent_size": 4,
    "motion.patch_size": 2,
    "structure.hidden": 16,
    **{f"structure.train.{k}": v for k, v in {"epochs": 2, "batch_size": 16, "device": "cpu"}.items()},
}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path)
    made.study()
    return made


@pytest.fixture
def reproduce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def call(*arguments: object) -> Answer:
        code = main([*map(str, arguments), "--home", str(tmp_path), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def decoder(records: Records, tmp_path: Path) -> StageRun:
    """A trained structure decoder, on made-up features and voxels, recorded as a trial."""
    spec = records.spec("t0000", TINY, stage="structure")
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "features": {"latents": torch.randn(70, 2, 4, 4, 4, generator=generator)},
        "voxels": {"fmri": torch.randn(70, 20, generator=generator)},
    }
    *sources, run = spec.runs
    for source in sources:
        folder = tmp_path / source.stage
        folder.mkdir()
        if source.stage in tensors:
            save_file(tensors[source.stage], folder / f"{source.stage}.safetensors")
        if source.stage == "voxels":
            split = ["train"] * 50 + ["validation"] * 10 + ["test"] * 10
            (folder / "voxels.json").write_text(json.dumps({"split": split}))
        made = Manifest(source.identity, source.stage, source.config, 0, source.inputs, {}, {}, (), {}, 0.0, 1.0)
        records.runs.commit(made, folder)
    config = TrialConfig.model_validate(spec.config)
    manifest = execute(run, config, runs=records.runs, scratch=tmp_path / "scratch")
    records.write(spec, "COMPLETED", {f"structure.{name}": value for name, value in manifest.metrics.items()})
    return run
