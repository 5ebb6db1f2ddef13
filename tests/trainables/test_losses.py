import numpy as np
import pytest
import torch

from trainables.config.decoders import SemanticConfig
from trainables.losses import info_nce, latent_mse, semantic_loss, tri_modal

RNG = np.random.default_rng(0)
FMRI, TEXT, IMAGE = RNG.normal(size=(3, 6, 5))
PREDICTED, CONDITION = RNG.normal(size=(2, 6, 4, 3))
SCALE = float(np.log(1 / 0.07))


def numpy_info_nce(a: np.ndarray, b: np.ndarray) -> float:
    """Eq. 1, term by term."""
    total = 0.0
    similarity = np.array([[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]) * np.exp(SCALE)
    for i in range(len(a)):
        total += np.log(np.exp(similarity[i, i]) / np.exp(similarity[i]).sum())
        total += np.log(np.exp(similarity[i, i]) / np.exp(similarity[:, i]).sum())
    return -total / (2 * len(a))


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


def test_info_nce() -> None:
    value = info_nce(tensor(FMRI), tensor(TEXT), torch.tensor(SCALE))
    assert value.item() == pytest.approx(numpy_info_nce(FMRI, TEXT), rel=1e-5)
    assert info_nce(tensor(TEXT), tensor(FMRI), torch.tensor(SCALE)).item() == pytest.approx(value.item(), rel=1e-5)


def test_info_nce_is_not_rounded_to_half_precision() -> None:
    """Temperatures multiply the rounding of a cosine by up to a hundred."""
    scale = torch.tensor(4.6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = info_nce(tensor(FMRI), tensor(TEXT), scale)
    assert value.item() == info_nce(tensor(FMRI), tensor(TEXT), scale).item()


def test_rows_of_one_clip_are_no_negatives_of_each_other() -> None:
    """The clip of rows 0 and 3 was seen by two subjects. Their pairs stay positives, those across are left out."""
    clips = torch.tensor([7, 1, 2, 7, 4, 5])
    value = info_nce(tensor(FMRI), tensor(TEXT), torch.tensor(SCALE), clips=clips)
    similarity = FMRI @ TEXT.T / np.linalg.norm(FMRI, axis=1)[:, None] / np.linalg.norm(TEXT, axis=1)
    powers = np.exp(np.exp(SCALE) * similarity)
    powers[0, 3] = powers[3, 0] = 0.0
    own = np.diag(powers)
    expected = -np.mean(np.log(own / powers.sum(0)) + np.log(own / powers.sum(1))) / 2
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert value.item() < info_nce(tensor(FMRI), tensor(TEXT), torch.tensor(SCALE)).item()


def test_clips_that_all_differ_change_nothing() -> None:
    alone = info_nce(tensor(FMRI), tensor(TEXT), torch.tensor(SCALE))
    assert info_nce(tensor(FMRI), tensor(TEXT), torch.tensor(SCALE), clips=torch.arange(6)).item() == alone.item()


def test_a_batch_of_one_clip_has_nothing_to_contrast() -> None:
    """The gradient exists, too: a batch of a single clip must not end a training."""
    fmri = tensor(FMRI).requires_grad_()
    value = info_nce(fmri, tensor(TEXT), torch.tensor(SCALE), clips=torch.zeros(6, dtype=torch.int64))
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0.0
    assert fmri.grad is not None
    assert torch.all(fmri.grad == 0.0)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_alpha_weighs_text_against_image(alpha: float) -> None:
    value = tri_modal(tensor(FMRI), tensor(TEXT), tensor(IMAGE), torch.tensor(SCALE), alpha=alpha)
    expected = alpha * numpy_info_nce(FMRI, TEXT) + (1 - alpha) * numpy_info_nce(FMRI, IMAGE)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def combined(config: SemanticConfig) -> float:
    prediction = tensor(FMRI), tensor(PREDICTED)
    target = tensor(TEXT), tensor(IMAGE), tensor(CONDITION)
    return semantic_loss(config, prediction, target, torch.tensor(SCALE)).item()


def test_combined_loss() -> None:
    config = SemanticConfig(alpha=0.3, lambda_contrast=0.02, lambda_projection=0.7)
    contrast = 0.3 * numpy_info_nce(FMRI, TEXT) + 0.7 * numpy_info_nce(FMRI, IMAGE)
    align, projection = np.mean((FMRI - TEXT) ** 2), np.mean((PREDICTED - CONDITION) ** 2)
    assert combined(config) == pytest.approx(align + 0.02 * contrast + 0.7 * projection, rel=1e-5)


def test_mse_loss_kind() -> None:
    config = SemanticConfig(loss="mse", alpha=0.3, lambda_contrast=5.0, lambda_projection=0.7)
    mse = 0.3 * np.mean((FMRI - TEXT) ** 2) + 0.7 * np.mean((FMRI - IMAGE) ** 2)
    assert combined(config) == pytest.approx(mse + 0.7 * np.mean((PREDICTED - CONDITION) ** 2), rel=1e-5)


def test_the_temperature_is_learned() -> None:
    scale = torch.tensor(SCALE, requires_grad=True)
    loss = tri_modal(tensor(FMRI), tensor(TEXT), tensor(IMAGE), scale, alpha=0.5)
    assert torch.autograd.grad(loss, scale)[0].item() != 0


def test_latent_mse_is_a_mean_over_elements_in_full_precision() -> None:
    a, b = RNG.normal(size=(2, 3, 7, 4, 2, 2))
    assert latent_mse(tensor(a), tensor(b)).item() == pytest.approx(np.mean((a - b) ** 2), rel=1e-5)
    assert latent_mse(tensor(a).bfloat16(), tensor(b)).dtype == torch.float32
