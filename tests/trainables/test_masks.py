import pytest
import torch

from trainables.config.decoders import MotionConfig
from trainables.networks.masks import causal_mask, draw_masks, inference_mask, maskable

CPU = torch.device("cpu")
FRAMES = 7


def drawn(config: MotionConfig, batch: int = 4000, seed: int = 0) -> torch.Tensor:
    return draw_masks(config, frames=FRAMES, batch=batch, generator=torch.Generator().manual_seed(seed))


def hidden_fraction(config: MotionConfig, mask: torch.Tensor) -> float:
    candidates = maskable(FRAMES, diagonal=config.mask_diagonal, device=CPU).expand(mask.shape)
    return 1 - mask[candidates].float().mean().item()


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_hidden_fraction_is_the_mask_ratio(ratio: float) -> None:
    config = MotionConfig(mask_ratio=ratio)
    mask = drawn(config)
    assert hidden_fraction(config, mask) == pytest.approx(ratio, abs=0.01)
    past = torch.ones(FRAMES, FRAMES, dtype=torch.bool).tril(-1)
    per_entry = 1 - mask.float().mean(0)[past]
    assert per_entry.numpy() == pytest.approx(ratio, abs=0.04)


@pytest.mark.parametrize("ratio", [0.0, 0.6, 0.99])
def test_a_frame_sees_itself_and_never_the_future(ratio: float) -> None:
    mask = drawn(MotionConfig(mask_ratio=ratio))
    assert mask.diagonal(dim1=1, dim2=2).all()
    assert not mask.triu(1).any()


@pytest.mark.parametrize(("ratio", "hidden"), [(0.0, 1.0), (0.2, 0.8), (0.4, 0.6), (0.6, 0.4), (0.8, 0.2)])
def test_released_code_inverts_the_ratio(ratio: float, hidden: float) -> None:
    config = MotionConfig(mask_ratio=ratio, mask_means="visible", mask_diagonal=True)
    mask = drawn(config)
    assert hidden_fraction(config, mask) == pytest.approx(hidden, abs=0.01)


def test_released_code_spares_two_rows_and_a_column_but_not_the_diagonal() -> None:
    mask = drawn(MotionConfig(mask_ratio=0.5, mask_diagonal=True))
    full = causal_mask(FRAMES, CPU)[0]
    assert (mask[:, :2] == full[:2]).all()
    assert mask[:, :, 0].all()
    assert not mask[:, 3, 3].all()
    assert not mask.triu(1).any()


def test_masks_differ_between_samples_and_draws_but_not_between_equal_streams() -> None:
    config = MotionConfig(mask_ratio=0.5)
    generator = torch.Generator().manual_seed(1)
    first, second = (draw_masks(config, frames=FRAMES, batch=8, generator=generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, drawn(config, batch=8, seed=1))


def test_inference_hides_nothing_unless_told_to() -> None:
    assert torch.equal(inference_mask(MotionConfig(), frames=FRAMES, device=CPU), causal_mask(FRAMES, CPU))
    config = MotionConfig(inference_mask="first_frame_only")
    mask = inference_mask(config, frames=4, device=CPU)[0].int().tolist()
    assert mask == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
