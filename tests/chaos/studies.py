"""The studies of a campaign: one table. None takes longer than half a minute without a fault."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platform.study.ablation_file import load_ablation
from platform.study.study import Study
from platform.study.sweep_file import load_study

Where = Literal["inline", "ray", "nodes"]
"""In the driver's process; on a Ray that the driver starts; on a cluster of two nodes that are lost and replaced."""
_SPACE = "space: {noop.value: {uniform: [0.0, 1.0]}}\n"
_TWO_FIELDS = "space: {noop.value: {uniform: [0.0, 1.0]}, noop.epochs: {int: [2, 4]}}\n"
_GRID = "space: {noop.value: {choice: [0.1, 0.2, 0.3]}, noop.epochs: {choice: [3, 4]}}\nsampler: grid\n"
_ABLATION = "primary: [noop.value]\nunit: seeds\nseeds: 6\nconditions: {half: {noop.value: 0.5}}\n"
_PHANTOM = """\
target: structure.latent_mse
sampler: grid
space: {structure.train.lr: {choice: [1.0e-4, 1.0e-3, 1.0e-2]}}
base:
  dataset: {train_clips: 12, validation_clips: 4, test_clips: 4, block_clips: 4, subjects: 1, voxels: 64}
  features: {image_variants: 1, text_variants: 1}
  structure: {hidden: 8, train: {epochs: 3, batch_size: 5}}
"""


@dataclass(frozen=True)
class ChaosStudy:
    """A study as its file has it, and where it runs."""

    name: str
    where: Where
    text: str
    verb: Literal["sweep", "ablate"] = "sweep"
    store: Literal["file", "s3"] = "file"
    tracking: Literal["file", "server"] = "file"
    """MLflow's own database in the home, or a server on PostgreSQL."""
    max_concurrent: int = 2
    """Trials at a time, on Ray."""

    def write(self, folder: Path) -> Path:
        """Write its file into `folder`."""
        path = folder / f"{self.name}.yaml"
        path.write_text(self.text, encoding="utf-8")
        return path

    def load(self, path: Path, settings: tuple[str, ...] = ()) -> Study:
        """Return the study of its file, changed by `settings`."""
        return load_study(path, settings) if self.verb == "sweep" else load_ablation(path, settings)


def _sweep(name: str, where: Where, text: str, **kwargs: object) -> ChaosStudy:
    return ChaosStudy(name, where, f"target: noop.value\n{text}", **kwargs)  # type: ignore[arg-type]


def _timed(epochs: int, sleep: float, more: str = "") -> str:
    return f"base: {{noop.epochs: {epochs}, noop.sleep: {sleep}, noop.checkpoint_share: 1.0{more}}}\n"


STUDIES = (
    _sweep("random", "inline", f"trials: 8\nsampler: random\n{_SPACE}{_timed(4, 0.02)}"),
    _sweep("tpe", "inline", f"trials: 16\nsampler: tpe\n{_SPACE}{_timed(2, 0.02)}"),
    _sweep("repeats", "inline", f"trials: 4\nrepeats: 2\nsampler: random\n{_SPACE}{_timed(3, 0.02)}"),
    _sweep(
        "stopped_early",
        "inline",
        "trials: 10\nsampler: random\nscheduler: {asha: {grace_epochs: 1, reduction_factor: 2}}\n"
        f"{_SPACE}{_timed(6, 0.02)}",
    ),
    _sweep("cmaes", "inline", f"trials: 10\nsampler: cmaes\n{_TWO_FIELDS}"),
    ChaosStudy("ablation", "inline", f"{_ABLATION}baseline: {{noop.epochs: 3, noop.sleep: 0.02}}\n", "ablate"),
    ChaosStudy("phantom", "inline", _PHANTOM),
    _sweep("inline_s3", "inline", f"trials: 8\nsampler: random\n{_SPACE}{_timed(4, 0.1)}", store="s3"),
    _sweep("inline_server", "inline", f"trials: 8\nsampler: random\n{_SPACE}{_timed(4, 0.2)}", tracking="server"),
    _sweep(
        "median",
        "inline",
        "trials: 10\nsampler: random\nscheduler: {median: {grace_epochs: 2, min_trials: 3}}\n"
        f"{_SPACE}{_timed(5, 0.02)}",
    ),
    _sweep("tpe_repeats", "inline", f"trials: 12\nrepeats: 2\nsampler: tpe\n{_TWO_FIELDS}"),
    _sweep("on_ray", "ray", f"trials: 8\nsampler: random\n{_SPACE}{_timed(5, 0.2)}"),
    _sweep("grid_on_ray", "ray", f"{_GRID}base: {{noop.sleep: 0.2}}\n"),
    _sweep("checkpoints", "ray", f"trials: 6\nsampler: random\n{_SPACE}{_timed(6, 0.2, ', noop.memory: 4')}"),
    ChaosStudy("ablation_on_ray", "ray", f"{_ABLATION}baseline: {{noop.epochs: 4, noop.sleep: 0.1}}\n", "ablate"),
    ChaosStudy("phantom_on_ray", "ray", _PHANTOM),
    _sweep("on_s3", "ray", f"trials: 6\nsampler: random\n{_SPACE}{_timed(5, 0.2)}", store="s3"),
    _sweep("lab", "ray", f"trials: 6\nsampler: random\n{_SPACE}{_timed(5, 0.3)}", store="s3", tracking="server"),
    _sweep("two_nodes", "nodes", f"trials: 6\nsampler: random\n{_SPACE}{_timed(8, 0.25)}"),
    ChaosStudy("ablation_on_nodes", "nodes", f"{_ABLATION}baseline: {{noop.epochs: 6, noop.sleep: 0.2}}\n", "ablate"),
    _sweep("two_workers", "ray", f"trials: 2\nsampler: random\n{_SPACE}{_timed(6, 0.2, ', noop.workers: 2')}"),
)
"""Case N of a campaign runs study N modulo their number."""
