"""A batch computed in parts: the same curve up to rounding, in less memory."""

import multiprocessing
import resource
from multiprocessing.connection import Connection

import psutil
import pytest
import torch
from torch import Tensor, nn

from tests.trainables.test_distributed import CASES, Rank, assert_same
from trainables.failure import cause_of
from trainables.micro_batch import InParts
from trainables.networks.dropout import Dropout


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Rank:
    return Rank(0, 1, tmp_path_factory.mktemp("parts"))


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_in_parts_it_trains_what_it_does_at_once(alone: Rank, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, overrides = CASES[case]
    number = list(CASES).index(case)
    whole = alone.train(case, saved=f"{number}-whole")
    monkeypatch.setitem(CASES, case, (stage, {**overrides, f"{stage}__train__micro_batch": 20}))
    assert_same(whole, alone.train(case, saved=f"{number}-parts"), tolerance=2e-2 if case == "bf16" else 1e-4)


def test_gradients_and_random_numbers_are_those_of_the_batch() -> None:
    """Of a loss that compares all rows, which the mean of the parts' own losses would not be."""
    model = nn.Sequential(nn.Linear(5, 64), Dropout(0.5), nn.ReLU(), nn.Linear(64, 3), Dropout(0.3)).double()
    x = torch.randn(11, 5, dtype=torch.float64)
    seen: list[int] = []
    model.register_forward_hook(lambda module, inputs, made: seen.append(len(made)))
    found = []
    for forward in (model, InParts(model, model, rows=4)):
        model.zero_grad()
        torch.manual_seed(0)
        made: Tensor = forward(x)
        made.logsumexp(0).prod().backward()  # type: ignore[no-untyped-call]
        found.append([made, torch.rand(1), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert seen[:4] == [11, 4, 4, 3], "at most four rows at a time"
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=0)
    assert all(module.share is None for module in model if isinstance(module, Dropout))


def test_another_dropout_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    with pytest.raises(TypeError, match="the network has Dropout; use trainables"):
        InParts(model, model, rows=1)


def two_steps(megabytes: int, told: Connection) -> None:
    """Take a step with all of 4096 rows at a time, then with half, where only so much more memory may be taken."""
    torch.set_num_threads(1)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(16, 4608), nn.Tanh(), nn.Linear(4608, 16)) for _ in range(3)))
    x = torch.randn(4096, 16)
    model(x[:64]).mean().backward()
    most = psutil.Process().memory_info().vms + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for rows in (4096, 2048):
        try:
            InParts(model, model, rows=rows)(x).square().mean().backward()
        except RuntimeError as error:
            told.send(cause_of(error))
        else:
            told.send("done")


@pytest.mark.long
def test_half_the_rows_fit_where_all_do_not() -> None:
    """All rows need 360 MB (three activations, a layer and its gradient), half of them half as much."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=two_steps, args=(305, there))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == 0
    assert [here.recv(), here.recv()] == ["OUT_OF_MEMORY", "done"]
