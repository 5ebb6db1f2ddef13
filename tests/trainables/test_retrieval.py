import numpy as np
import pytest
import torch

from trainables.metrics.retrieval import ranks


def top_k(query: torch.Tensor, gallery: torch.Tensor, *, k: int) -> float:
    """Return the share of queries whose own gallery entry has a rank of at most `k`."""
    return (ranks(query, gallery) <= k).double().mean().item()


def plain_rank(query: np.ndarray, gallery: np.ndarray, own: int) -> float:
    cosines = [float(query @ g / np.linalg.norm(query) / np.linalg.norm(g)) for g in gallery]
    better = sum(1 for c in cosines if c > cosines[own])
    tied = sum(1 for c in cosines if c == cosines[own])
    return better + (tied + 1) / 2


def test_ranks_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(40, 6))
    query = gallery + rng.normal(size=(40, 6))
    expected = [plain_rank(query[i], gallery, i) for i in range(40)]
    assert ranks(torch.tensor(query), torch.tensor(gallery)).tolist() == expected
    assert top_k(torch.tensor(query), torch.tensor(gallery), k=5) == np.mean([rank <= 5 for rank in expected])


def test_a_large_gallery_holds_more_than_what_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(90, 6))
    query = gallery[:20] + rng.normal(size=(20, 6))
    expected = [plain_rank(query[i], gallery, i) for i in range(20)]
    assert ranks(torch.tensor(query), torch.tensor(gallery)).tolist() == expected


def test_equal_entries_share_their_average_rank() -> None:
    gallery = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    query = gallery + 0.01
    assert (ranks(query, gallery) == 2).all()
    assert top_k(query, gallery, k=1) == 0
    assert top_k(query, gallery, k=2) == 1


def test_a_decoder_that_knows_nothing_is_at_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(2, 2000, 16, generator=generator)
    assert top_k(query, gallery, k=100) == pytest.approx(100 / 2000, abs=0.02)
    assert (ranks(torch.zeros(10, 4), torch.randn(10, 4, generator=generator)) == 5.5).all()


def test_a_query_of_nan_ranks_last() -> None:
    gallery = torch.eye(4)
    query = gallery.clone()
    query[1] = torch.nan
    assert ranks(query, gallery).tolist() == [1.0, 4.0, 1.0, 1.0]
