"""What a plug-in's decoder writes is checked before it is committed, and Ray Train trains it as one process does."""

import re
from pathlib import Path
from typing import Any

import pytest

from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.plugin_files import MEAN, written
from tests.programs import ROOT
from tests.trainables.test_decoder_stages import World, tiny
from tests.trainables.test_on_workers import SMALL
from trainables.check_ray_train import check_under_ray_train
from trainables.config.trial import resolve
from trainables.execute import execute
from trainables.graph import stage_runs, workers_of
from trainables.plugins.active import load_plugins
from trainables.plugins.source import read_source
from trainables.plugins.written_predictions import check_predictions

EXAMPLE = (ROOT / "docs" / "own-decoder.md").read_text(encoding="utf-8")
(DRIFT,) = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)
WRITES = '''
"""A structure decoder that writes what it is told to write."""

import torch
from safetensors.torch import save_file

from trainables.api import Decoder, Plugin, StageResult


def run(task):
    tensors = {"first_latent": torch.zeros(4, 4, 16, 16), "index": torch.arange(4)}
    save_file(tensors, task.context.output / "predictions.safetensors")
    return StageResult({"latent_mse": 1.0})


PLUGIN = Plugin(api=1, decoders=(Decoder(stage="structure", name="writes", run=run),))
'''


def run_structure(folder: Path, text: str, *, kind: str = "writes") -> None:
    """Run the structure stage of a small phantom with the plug-in `text`, all inputs first."""
    with load_plugins([read_source("writes.py", folder=written(folder, writes_py=text))]).active():
        config = resolve({**SMALL, "structure.kind": kind})
        runs = RunStore(MemoryStore(), cache=folder / "cache")
        for run in stage_runs(config, seed=0, targets=["structure"]):
            execute(run, config, runs=runs, scratch=folder / "scratch")


def test_predictions_of_all_held_out_clips_are_committed(tmp_path: Path) -> None:
    run_structure(tmp_path, WRITES)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "zeros(4, 4, 16, 16)",
            "zeros(3, 4, 16, 16)",
            r"first_latent is \[3, 4, 16, 16\] and must be \[4, 4, 16, 16\]",
        ),
        ('"index": torch.arange(4)', "", r"index \[4\] is missing"),
        ("save_file(tensors", "print(tensors", "wrote no predictions.safetensors"),
    ],
)
def test_other_predictions_are_refused_with_the_name_of_the_decoder(
    right: str, wrong: str, message: str, tmp_path: Path
) -> None:
    assert right in WRITES
    with pytest.raises(ValueError, match=rf"(?s)structure\.kind: writes.*{message}"):
        run_structure(tmp_path, WRITES.replace(right, wrong))


def test_a_decoder_that_is_solved_runs_once_for_all_seeds_and_workers(tmp_path: Path) -> None:
    run_structure(tmp_path, MEAN, kind="mean")
    source = read_source("mean.py", folder=written(tmp_path, mean_py=MEAN))
    with load_plugins([source]).active():
        config = resolve({**SMALL, "structure.kind": "mean", "structure.train.workers": 2})
        first, other = (stage_runs(config, seed=seed, targets=["structure"])[-1] for seed in (1, 2))
        assert first == other
        assert workers_of(config, "structure") == (1, 1)


def test_a_decoder_that_is_solved_says_so_where_it_is_declared(tmp_path: Path) -> None:
    undeclared = MEAN.replace(", solved=True),))", "),))")
    assert undeclared != MEAN
    expected = (
        r"structure\.kind: mean passes solved=True; .* Decoder\(stage='structure', name='mean', \.\.\., solved=True\)"
    )
    with pytest.raises(ValueError, match=expected):
        run_structure(tmp_path, undeclared, kind="mean")


@pytest.mark.parametrize("stage", ["semantic", "structure", "motion"])
def test_the_files_of_our_decoders_pass_the_check(stage: str, tmp_path: Path) -> None:
    world, config = World(tmp_path), tiny()
    if stage == "motion":
        world.run("structure", config)
    _, folder = world.run(stage, config)
    check_predictions(stage, "ours", folder, inputs=world.inputs)


def test_a_network_with_a_frame_too_few_is_named_before_it_trains(tmp_path: Path) -> None:
    short = DRIFT.replace("return torch.cat((first[:, None], later), dim=1)", "return later")
    assert short != DRIFT
    drift_run(tmp_path, short, expected=r"the decoder returned latents \[\d+, 6, .*the targets are \[\d+, 7, ")


def drift_run(folder: Path, text: str, *, expected: str) -> None:
    """Train the motion decoder of `text` after its inputs, and expect a `ValueError`."""
    with load_plugins([read_source("drift.py", folder=written(folder, drift_py=text))]).active():
        config = resolve({**SMALL, "motion.kind": "drift"})
        runs, scratch = RunStore(MemoryStore(), cache=folder / "cache"), folder / "scratch"
        *inputs, motion = stage_runs(config, seed=0, targets=["motion"])
        for run in inputs:
            execute(run, config, runs=runs, scratch=scratch)
        with pytest.raises(ValueError, match=expected):
            execute(motion, config, runs=runs, scratch=scratch)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
def test_ray_train_trains_a_plugins_decoder_as_one_process_does(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**SMALL, "motion.kind": "drift"}
    with load_plugins([read_source("drift.py", folder=written(tmp_path, drift_py=DRIFT))]).active():
        check_under_ray_train("motion", resolve(settings), folder=tmp_path)


@pytest.mark.long
def test_a_network_of_a_plug_in_that_names_its_layers_is_trained_on_several_subjects(tmp_path: Path) -> None:
    named = DRIFT.replace(
        "    def forward(self",
        "    @property\n    def voxel_layers(self):\n        return (self.change[0],)\n\n    def forward(self",
    )
    assert named != DRIFT
    for text in (named, DRIFT):
        source = read_source("drift.py", folder=written(tmp_path, drift_py=text))
        with load_plugins([source]).active():
            config = resolve({**SMALL, "dataset.subjects": 2, "voxels.subjects": [0, 1], "motion.kind": "drift"})
            runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
            *inputs, run = stage_runs(config, seed=0, targets=["motion"])
            for needed in inputs:
                execute(needed, config, runs=runs, scratch=tmp_path / "scratch")
            if text == named:
                assert len(execute(run, config, runs=runs, scratch=tmp_path / "scratch").history) == 2
            else:
                with pytest.raises(ValueError, match=r"Drift does not say which layers read voxels"):
                    execute(run, config, runs=runs, scratch=tmp_path / "scratch")
