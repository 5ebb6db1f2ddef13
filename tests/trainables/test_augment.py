import pytest
import torch

from trainables.augment import Sparsifier, draw_variants
from trainables.config.decoders import SparsifyConfig

FMRI = torch.ones(200, 300)
ROWS = torch.arange(64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_voxels_are_chosen_for_a_batch_and_half_of_their_values_set_to_zero() -> None:
    sparse = Sparsifier(SparsifyConfig(), FMRI)(ROWS, generator())
    zeros = (sparse == 0).float()
    hit = zeros.any(0)
    assert hit.float().mean().item() == pytest.approx(0.2, abs=0.08)
    assert zeros[:, hit].mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(FMRI, torch.ones_like(FMRI))


def test_entries_are_chosen_one_by_one() -> None:
    sparse = Sparsifier(SparsifyConfig(unit="entries"), FMRI)(ROWS, generator())
    assert (sparse == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (sparse == 0).any(0).all()


def test_each_step_draws_anew() -> None:
    sparsifier, stream = Sparsifier(SparsifyConfig(), FMRI), generator()
    assert not torch.equal(sparsifier(ROWS, stream), sparsifier(ROWS, stream))
    assert sparsifier.keep is None


def test_an_epoch_keeps_its_draw() -> None:
    sparsifier = Sparsifier(SparsifyConfig(refresh="epoch"), FMRI)
    sparsifier.begin_epoch(generator(1))
    first = sparsifier(ROWS, generator(2))
    assert torch.equal(first, sparsifier(ROWS, generator(3)))
    assert torch.equal(first[5:9], sparsifier(ROWS[5:9], generator(4)))
    sparsifier.begin_epoch(generator(5))
    second = sparsifier(ROWS, generator(2))
    assert not torch.equal(first, second)
    assert (second == 0).float().mean().item() == pytest.approx(0.1, abs=0.04)


def test_zeros_pile_up_as_in_the_released_code() -> None:
    """0.9^(e+1) of the entries survive epoch e: 90, 31, 11, 3.8 % at epoch 0, 10, 20, 30 (mind-animator.md B01)."""
    config = SparsifyConfig(unit="entries", refresh="epoch", cumulative=True)
    sparsifier, left = Sparsifier(config, FMRI), {}
    for epoch in range(31):
        sparsifier.begin_epoch(generator(epoch))
        left[epoch] = sparsifier(torch.arange(200), generator()).mean().item()
    assert [left[e] for e in (0, 10, 20, 30)] == pytest.approx([0.90, 0.31, 0.11, 0.038], abs=0.01)
    assert torch.equal(FMRI, torch.ones_like(FMRI))


def test_zeros_can_pile_up_from_step_to_step() -> None:
    sparsifier, stream = Sparsifier(SparsifyConfig(unit="entries", cumulative=True), FMRI), generator()
    first, second = (sparsifier(ROWS, stream) for _ in range(2))
    assert ((first == 0) <= (second == 0)).all()
    assert (second == 0).sum() > (first == 0).sum()
    assert sparsifier.keep is not None
    assert sparsifier.keep[64:].all()


@pytest.mark.parametrize("config", [SparsifyConfig(voxel_fraction=0), SparsifyConfig(zero_fraction=0, refresh="epoch")])
def test_switched_off_changes_nothing(config: SparsifyConfig) -> None:
    sparsifier = Sparsifier(config, FMRI)
    sparsifier.begin_epoch(generator())
    assert torch.equal(sparsifier(ROWS, generator()), FMRI[ROWS])


def test_variants_are_drawn_uniformly() -> None:
    rows = torch.tensor([2, 0]).repeat(1000)
    counts = torch.bincount(draw_variants(5, rows, generator()))
    assert counts.numpy() == pytest.approx(400, abs=80)
