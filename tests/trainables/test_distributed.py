"""Several workers train what one would: the same curve at the same global batch and seed, up to rounding."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from storage.local import LocalStore
from storage.runs import Checkpoints
from tests.trainables.ranks import on_ranks
from tests.trainables.test_decoder_stages import World, tiny
from trainables.config.base import workers_range
from trainables.config.decoders import TrainConfig
from trainables.context import Context, EpochReport, StageTask, silent
from trainables.distributed import PeerLostError, Team
from trainables.graph import resolve_reference
from trainables.networks.dropout import Dropout

pytestmark = pytest.mark.long

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "contrastive": ("semantic", {}),
    "a last batch of one row": ("semantic", {"semantic__train__batch_size": 199}),
    "mse": ("semantic", {"semantic__loss": "mse"}),
    "structure": ("structure", {}),
    "accumulated sparsification": ("structure", {"profile": "released_code"}),
    "motion": ("motion", {}),
    "attention dropout": ("motion", {"motion__attention_dropout": 0.3, "motion__mask_refresh": "run"}),
    "dropout of what lies transposed in memory": (
        "motion",
        {"motion__spatial_fusion": "self", "motion__temporal_fusion": "adaln", "motion__patch_size": 1},
    ),
    "mlps": ("motion", {"motion__kind": "per_frame_mlp"}),
    "in parts": ("motion", {"motion__train__micro_batch": 9, "motion__attention_dropout": 0.3}),
    "bf16": ("structure", {"structure__train__precision": "bf16"}),
}
SHORT = {
    f"{stage}__train__{field}": value
    for stage in ("semantic", "structure", "motion")
    for field, value in {"epochs": 2, "batch_size": 67}.items()
}
"""Three batches an epoch, the first two of an odd number of rows."""
RESUMED = "accumulated sparsification"
"""The case with the most to keep: weights, optimiser, and all zeros so far."""
TOLERANCE = 1e-4
Curve = list[dict[str, float]]


class Interrupted(Exception):
    pass


def stop(epoch: int, metrics: Mapping[str, float]) -> None:
    raise Interrupted


def curve(world: World, case: str, context: Context) -> Curve:
    stage, overrides = CASES[case]
    task = StageTask(config=tiny(**{**SHORT, **overrides}), seed=0, inputs=world.inputs, context=context)
    return [dict(row) for row in resolve_reference(f"trainables.stages.{stage}:run")(task).history]


class Rank:
    """One of `size` processes, with the stages' inputs and a store that all see."""

    def __init__(self, rank: int, size: int, folder: Path) -> None:
        self.rank, self.size, self.folder = rank, size, folder
        self.own = folder / f"{size}-{rank}"
        self.own.mkdir(parents=True)
        self.world = World(self.own)
        self.world.run("structure", tiny(**SHORT))

    def train(self, case: str, *, saved: str, report: EpochReport = silent) -> Curve:
        output = self.own / saved
        output.mkdir(exist_ok=True)
        kept = Checkpoints(LocalStore(self.folder / "store"), saved, cache=self.own / "cache")
        return curve(self.world, case, Context(output, kept, report, rank=self.rank, world_size=self.size))

    def train_all(self) -> dict[str, Curve]:
        return {case: self.train(case, saved=f"{self.size}-{number}") for number, case in enumerate(CASES)}

    def interrupt(self, saved: str) -> None:
        with pytest.raises(Interrupted):
            self.train(RESUMED, saved=saved, report=stop)


def two_ranks(rank: int, size: int, folder: str) -> None:
    """Train every case, go on with what one process began, begin what one process is to go on with; then lose one."""
    here = Rank(rank, size, Path(folder))
    found = {**here.train_all(), "resumed": here.train(RESUMED, saved="by-one")}
    here.interrupt("by-two")
    (here.own / "curves.json").write_text(json.dumps(found))
    lose_one(Team(rank, size, torch.device("cpu")), here.own / "noticed")


def lose_one(team: Team, noticed: Path) -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.full((3,), float(team.rank))
    team.average_gradients([parameter])
    assert parameter.grad.tolist() == [0.5, 0.5, 0.5]
    if not team.leads:
        os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(PeerLostError, match="another worker of this training does not answer"):
        talk_on(team, parameter)
    noticed.touch()


def talk_on(team: Team, parameter: nn.Parameter) -> None:
    for _ in range(100):
        team.broadcast({"epoch": 1})
        team.average_gradients([parameter])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, Curve]]]:
    folder = tmp_path_factory.mktemp("trained")
    alone = Rank(0, 1, folder)
    alone.interrupt("by-one")
    on_ranks(two_ranks, folder / "meeting", str(folder))
    first, second = (json.loads((folder / f"2-{rank}" / "curves.json").read_text()) for rank in (0, 1))
    assert first == second, "all workers hold the same metrics"
    return folder, {1: {**alone.train_all(), "resumed": alone.train(RESUMED, saved="by-two")}, 2: first}


def assert_same(one: Curve, two: Curve, *, tolerance: float = TOLERANCE) -> None:
    for row, other in zip(one, two, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            if not name.startswith("retrieval"):  # a rank may change by one where two clips are next to equal
                assert other[name] == pytest.approx(value, rel=tolerance), name


@pytest.mark.parametrize("case", CASES)
def test_two_workers_train_what_one_does(trained: tuple[Path, dict[int, dict[str, Curve]]], case: str) -> None:
    folder, curves = trained
    # bf16 has three digits, and rounds the products of a share otherwise than those of the whole.
    assert_same(curves[1][case], curves[2][case], tolerance=2e-2 if case == "bf16" else TOLERANCE)
    saved = f"2-{list(CASES).index(case)}"
    first, second = (load_file(folder / f"2-{rank}" / saved / "model.safetensors") for rank in (0, 1))
    assert all(torch.equal(second[name], weight) for name, weight in first.items()), "no worker drifts"


def test_a_checkpoint_is_continued_by_another_number_of_workers(
    trained: tuple[Path, dict[int, dict[str, Curve]]],
) -> None:
    _, curves = trained
    for size in (1, 2):
        assert_same(curves[1][RESUMED], curves[size]["resumed"])


def test_a_lost_worker_is_noticed_by_the_others(trained: tuple[Path, dict[int, dict[str, Curve]]]) -> None:
    assert (trained[0] / "2-0" / "noticed").exists()


def test_every_row_belongs_to_one_worker() -> None:
    team = Team(0, 3, torch.device("cpu"))
    assert [team.sizes(rows) for rows in (7, 6, 1, 0)] == [[3, 2, 2], [2, 2, 2], [1, 0, 0], [0, 0, 0]]


def test_dropout_of_shares_is_that_of_the_whole() -> None:
    dropout, x = Dropout(0.4), torch.randn(7, 3, 5)
    for whole in (x, x.transpose(1, 2)):
        torch.manual_seed(3)
        dropout.share = None
        expected = dropout(whole)
        parts = []
        for first, end in ((0, 3), (3, 5), (5, 7), (7, 7)):
            torch.manual_seed(3)
            dropout.share = first, end, 7
            parts.append(dropout(whole[first:end]))
        assert torch.equal(torch.cat(parts), expected)
    assert torch.equal(dropout.eval()(x), x)


def test_a_dropout_that_would_depend_on_the_number_of_workers_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    with pytest.raises(TypeError, match="the network has Dropout; use trainables"):
        Team(0, 2, torch.device("cpu")).spread(model, model)
    assert Team(0, 1, torch.device("cpu")).spread(model, model) is model


def test_workers_need_rows() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 5, but got 4"):
        TrainConfig(batch_size=4, workers=5)
    with pytest.raises(ValueError, match="batch_size must be at least 5, but got 4"):
        TrainConfig(batch_size=4, workers="1..5")


@pytest.mark.parametrize("workers", [0, "0..2", "3..2", "1..", "..2", "1...2", "many", "1-4", -1, "-1..2"])
def test_workers_are_a_number_or_a_range(workers: int | str) -> None:
    with pytest.raises(ValueError, match=r"workers must be .* range"):
        TrainConfig(workers=workers)
    assert workers_range(TrainConfig(workers="2..4").workers) == (2, 4)
    assert workers_range(TrainConfig(workers=3).workers) == (3, 3)
