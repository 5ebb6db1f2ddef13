"""The fMRI encoder, the masked model and the network of tokens: shapes, what sees what, and sizes of the authors."""

import pytest
import torch

from trainables.config.mindvideo import PremaskConfig, TokensConfig
from trainables.config.trial import resolve
from trainables.networks.fmri_encoder import MaskedFmriModel, PatchEncoder, in_patches, sizes_of, wrapped
from trainables.networks.fmri_tokens import TokensNetwork

SMALL = PremaskConfig(patch=4, width=8, depth=2, heads=2, decoder_width=8, decoder_depth=1, decoder_heads=2, mask=0.5)
VOXELS, WINDOW = 22, 3


def encoder(*, temporal: bool) -> PatchEncoder:
    torch.manual_seed(0)
    return PatchEncoder(sizes_of(SMALL, voxels=VOXELS), temporal=temporal).eval()


def fmri(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, VOXELS, generator=torch.Generator().manual_seed(1))


def test_voxels_are_repeated_until_they_fill_the_last_patch() -> None:
    assert wrapped(torch.arange(5.0), voxels=8).tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    sizes = sizes_of(SMALL, voxels=VOXELS)
    assert sizes.patches == 6
    assert in_patches(torch.arange(22.0), sizes)[-1].tolist() == [20, 21, 0, 1]
    assert sizes_of(PremaskConfig(), voxels=900).patches == 60, "no patch is added to whole patches"
    with pytest.raises(ValueError, match="the fMRI has 22 voxels; the encoder takes 20 at most"):
        wrapped(fmri(), voxels=20)


def test_volumes_of_a_window_see_each_other_only_by_attention_over_volumes() -> None:
    for temporal in (True, False):
        network, x = encoder(temporal=temporal), fmri(2, WINDOW)
        changed = x.clone()
        changed[:, 2] += 1.0
        with torch.no_grad():
            before, after = network(x), network(changed)
        assert before.shape == (2, WINDOW, 6, 8)
        assert torch.equal(before[:, 0], after[:, 0]) is not temporal


def test_an_encoder_that_starts_from_the_masked_one_gives_its_tokens() -> None:
    """Attention over volumes, which it adds, has no effect before it is trained."""
    torch.manual_seed(2)
    masked = MaskedFmriModel(SMALL, voxels=VOXELS).eval()
    network, x = encoder(temporal=True), fmri(2, WINDOW)
    network.start_from(masked.encoder.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(network(x), masked.encoder(x))
    other = MaskedFmriModel(SMALL.model_copy(update={"depth": 3}), voxels=VOXELS)
    with pytest.raises(RuntimeError, match="of another encoder"):
        network.start_from(other.encoder.state_dict())


def test_the_masked_model_does_not_see_what_is_hidden() -> None:
    torch.manual_seed(3)
    model, x = MaskedFmriModel(SMALL, voxels=24).eval(), torch.randn(2, 24)
    order = torch.tensor([[4, 0, 2, 1, 3, 5], [1, 5, 3, 0, 2, 4]])
    assert model.seen == 3
    (gradient,) = torch.autograd.grad(model(x.requires_grad_(), order).square().sum(), x)
    seen = gradient.view(2, 6, 4).abs().sum(-1) > 0
    assert seen[0].tolist() == [True, False, True, False, True, False]
    assert seen[1].tolist() == [False, True, False, True, False, True]


def test_the_error_is_that_of_hidden_patches_alone() -> None:
    model, x = MaskedFmriModel(SMALL, voxels=24), torch.randn(1, 24)
    order = torch.tensor([[4, 0, 2, 1, 3, 5]])
    decoded = in_patches(x, model.encoder.sizes).clone()
    decoded[0, [4, 0, 2]] += 9.0
    decoded[0, 3] += 2.0
    assert model.hidden_error(decoded, x, order).mean().item() == pytest.approx(4 / 3)


def test_each_decoded_patch_has_its_own_place() -> None:
    """In whatever order patches are seen, the answer for each is the same."""
    torch.manual_seed(4)
    model, x = MaskedFmriModel(SMALL, voxels=24).eval(), torch.randn(1, 24)
    with torch.no_grad():
        one, other = (model(x, torch.tensor([order])) for order in ([4, 0, 2, 1, 3, 5], [2, 4, 0, 5, 1, 3]))
    torch.testing.assert_close(one, other)


def test_held_blocks_keep_their_weights() -> None:
    network = encoder(temporal=True)
    network.hold(1)
    held = {
        name.split(".")[0] + "." + name.split(".")[1] for name, p in network.named_parameters() if not p.requires_grad
    }
    assert held == {"patches.weight", "patches.bias", "blocks.0"}


def test_tokens_of_the_window_become_those_of_the_condition() -> None:
    sizes = sizes_of(SMALL, voxels=VOXELS)
    network = TokensNetwork(TokensConfig(), sizes, window=WINDOW, condition=(7, 5), clip_dim=6)
    embedding, condition = network(fmri(4, WINDOW))
    assert embedding.shape == (4, 6)
    assert condition.shape == (4, 7, 5)


def test_the_papers_sizes_are_those_of_the_authors_code() -> None:
    """24 blocks of width 1024, whose feed-forward layers are as wide, as MIND-VIS configures them."""
    config = resolve({"preset": "paper"}).premask
    sizes = sizes_of(config, voxels=4500)
    assert (sizes.patch, sizes.patches, sizes.width, sizes.depth, sizes.heads) == (16, 282, 1024, 24, 16)
    assert (config.decoder_width, config.decoder_depth, config.mask) == (512, 8, 0.75)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in PatchEncoder(sizes, temporal=False).parameters())
    block = 4 * (1024 * 1024 + 1024) + 2 * (1024 * 1024 + 1024) + 4 * 1024
    assert parameters == 24 * block + (16 + 1) * 1024 + 2 * 1024
