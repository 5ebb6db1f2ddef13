import math

import pytest
import torch
from torch import nn

from trainables.config.decoders import MotionConfig, SemanticConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.networks import masks
from trainables.networks.attention import AdaptiveNorm, Attention, patch_codes, sinusoids
from trainables.networks.masks import draw_masks
from trainables.networks.motion import FmriEncoder, MotionGenerator, PerFrameMlps
from trainables.networks.semantic import SemanticDecoder
from trainables.networks.structure import StructureDecoder

SMALL = MotionConfig(
    patch_size=4, width=24, attention_width=16, heads=2, ffn_width=20, encoder_hidden=12, fmri_tokens=3, depth=2
)
VIDEO = (5, 2, 8, 8)


def millions(model: nn.Module) -> float:
    return sum(p.numel() for p in model.parameters()) / 1e6


def motion(config: MotionConfig = SMALL, **changes: object) -> MotionGenerator:
    torch.manual_seed(0)
    return MotionGenerator(config.model_copy(update=changes), voxels=10, video=VIDEO).eval()


@pytest.fixture
def paper() -> TrialConfig:
    return resolve({"preset": "paper"})


def test_paper_semantic_size(paper: TrialConfig) -> None:
    with torch.device("meta"):
        model = SemanticDecoder(paper.semantic, voxels=4500, clip_dim=512, condition=(19, 768))
    assert millions(model) == pytest.approx(72.34, abs=0.005)
    assert isinstance(list(model.trunk.children())[-1], nn.Identity)


def test_paper_structure_size(paper: TrialConfig) -> None:
    config = paper.structure
    with torch.device("meta"):
        model = StructureDecoder(4500, (4, 64, 64), hidden=config.hidden, residual_layers=2, dropout=0.2)
    assert millions(model) == pytest.approx(23.5, abs=0.05)


@pytest.mark.parametrize("overrides", [{}, {"profile": "released_code"}])
def test_paper_motion_size(overrides: dict[str, str]) -> None:
    config = resolve({"preset": "paper", **overrides}).motion
    with torch.device("meta"):
        model = MotionGenerator(config, voxels=4500, video=(8, 4, 64, 64))
    assert millions(model) == pytest.approx(335.8, abs=0.05)
    assert millions(model.blocks[0]) == pytest.approx(159.5, abs=0.05)
    assert isinstance(model.embed, nn.Identity)
    assert isinstance(model.unembed, nn.Identity)


def test_a_worker_without_rows_gets_a_video_without_rows() -> None:
    """The last batch of an epoch may have fewer rows than there are workers."""
    model = motion()
    frames, fmri = torch.zeros(0, *VIDEO), torch.zeros(0, 10)
    predicted = model(frames[:, :-1], fmri)
    assert predicted.shape == (0, VIDEO[0] - 1, *VIDEO[1:])
    predicted.sum().backward()


def test_semantic_shapes_and_parts() -> None:
    config = SemanticConfig(hidden=16, head_hidden=(8, 12), trunk_blocks=2)
    model = SemanticDecoder(config, voxels=10, clip_dim=6, condition=(3, 4))
    embedding, condition = model(torch.randn(5, 10))
    assert embedding.shape == (5, 6)
    assert condition.shape == (5, 3, 4)
    assert model.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    widths = [layer.in_features for layer in model.head if isinstance(layer, nn.Linear)]
    assert widths == [6, 8, 12]
    linears = [m for m in model.trunk.modules() if isinstance(m, nn.Linear)]
    assert len(linears) == 4  # input, two blocks, to CLIP


def test_linear_trunk_is_one_linear_map() -> None:
    model = SemanticDecoder(SemanticConfig(linear_trunk=True), voxels=10, clip_dim=6, condition=(3, 4)).eval()
    a, b = torch.randn(2, 1, 10)
    zero = model(torch.zeros(1, 10))[0]
    torch.testing.assert_close(model(a + b)[0], model(a)[0] + model(b)[0] - zero)


def test_structure_has_no_nonlinearity_before_its_norm() -> None:
    model = StructureDecoder(10, (2, 3, 3), hidden=8, residual_layers=2, dropout=0.2).eval()
    assert model(torch.randn(4, 10)).shape == (4, 2, 3, 3)
    front = model.layers[:-3]
    a, b = torch.randn(2, 1, 10)
    torch.testing.assert_close(front(a + b), front(a) + front(b) - front(torch.zeros(1, 10)))


def test_attention_equals_the_formula() -> None:
    torch.manual_seed(0)
    attention = Attention(6, inner=8, heads=2, dropout=0.5).eval()
    tokens, source = torch.randn(3, 4, 6), torch.randn(3, 5, 6)
    mask = torch.rand(3, 4, 5) > 0.3
    mask[..., 0] = True
    expected = torch.zeros(3, 4, 8)
    q, k, v = attention.query(tokens), attention.key(source), attention.value(source)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        logits = q[..., part] @ k[..., part].mT / math.sqrt(4)
        expected[..., part] = logits.masked_fill(~mask, -math.inf).softmax(-1) @ v[..., part]
    torch.testing.assert_close(attention(tokens, source, mask), attention.out(expected))


def test_adaptive_norm_starts_as_a_plain_norm_and_then_listens() -> None:
    norm = AdaptiveNorm(6)
    tokens, fmri = torch.randn(2, 3, 4, 6), torch.randn(2, 5, 6)
    torch.testing.assert_close(norm(tokens, fmri), nn.functional.layer_norm(tokens, (6,)))
    nn.init.normal_(norm.modulation.weight)
    shift, scale = norm.modulation(nn.functional.silu(fmri.mean(1))).chunk(2, -1)
    expected = nn.functional.layer_norm(tokens, (6,)) * (1 + scale[:, None, None]) + shift[:, None, None]
    torch.testing.assert_close(norm(tokens, fmri), expected)


def test_position_codes_tell_all_positions_apart() -> None:
    codes = sinusoids(10, 7)
    assert codes.shape == (10, 7)
    assert codes[3, 2].item() == pytest.approx(math.sin(3 * 10_000 ** (-2 / 7)), abs=1e-6)
    patches = patch_codes(3, 9)
    assert patches.shape == (9, 9)
    assert torch.unique(patches, dim=0).shape[0] == 9


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize("spatial", ["cross", "self", "adaln"])
@pytest.mark.parametrize("temporal", ["none", "cross", "adaln"])
def test_one_architecture_for_all_patch_sizes_and_fusions(patch: int, spatial: str, temporal: str) -> None:
    model = motion(patch_size=patch, spatial_fusion=spatial, temporal_fusion=temporal).train()
    frames, fmri = torch.randn(3, 4, 2, 8, 8), torch.randn(3, 10)
    out = model(frames, fmri, draw_masks(SMALL, frames=4, batch=3, generator=torch.Generator().manual_seed(0)))
    assert out.shape == frames.shape
    out.square().sum().backward()
    unused = {name for name, p in model.named_parameters() if p.grad is None}
    if (spatial, temporal) == ("self", "none"):  # without guidance the fMRI decides nothing
        assert all(name.startswith("encoder.") for name in unused)
    else:
        assert unused == set()


def test_no_frame_sees_the_future() -> None:
    model = motion()
    frames, fmri = torch.randn(2, 4, 2, 8, 8), torch.randn(2, 10)
    changed = frames.clone()
    changed[:, 2:] += 1
    before, after = model(frames, fmri), model(changed, fmri)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


def test_temporal_attention_stays_within_a_patch_position() -> None:
    model = motion(spatial_fusion="cross")
    frames, fmri = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 10)
    changed = frames.clone()
    changed[..., :4, :4] += 1
    moved = (model(frames, fmri) - model(changed, fmri)).abs().amax((0, 1, 2))
    assert (moved[:4, :4] > 0).any()
    assert (moved[4:] == 0).all()
    with_patches = motion(spatial_fusion="self")
    moved = (with_patches(frames, fmri) - with_patches(changed, fmri)).abs().amax((0, 1, 2))
    assert (moved[4:] > 0).any()


def test_without_guidance_the_fmri_decides_nothing() -> None:
    frames = torch.randn(2, 4, 2, 8, 8)
    outputs = [motion(spatial_fusion="self")(frames, fmri) for fmri in torch.randn(2, 2, 10)]
    torch.testing.assert_close(*outputs)
    guided = [motion(spatial_fusion="cross")(frames, fmri) for fmri in torch.randn(2, 2, 10)]
    assert not torch.allclose(*guided)


@pytest.mark.parametrize("tokens", [1, 4])
def test_with_a_single_fmri_token_cross_attention_ignores_its_query(tokens: int) -> None:
    model = motion(fmri_tokens=tokens)
    source = model.encoder(torch.randn(2, 10))
    assert source.shape == (2, tokens, 24)
    attention = model.blocks[0].spatial
    assert isinstance(attention, Attention)
    answers = [attention(query, source) for query in torch.randn(2, 2, 6, 24)]
    assert torch.allclose(answers[0], answers[1], atol=1e-6) == (tokens == 1)
    if tokens == 1:
        torch.testing.assert_close(answers[0], attention.out(attention.value(source)).expand(-1, 6, -1))


def test_several_fmri_tokens_differ_and_cost_little() -> None:
    one, eight = (FmriEncoder(SMALL.model_copy(update={"fmri_tokens": k}), 10) for k in (1, 8))
    tokens = eight.eval()(torch.randn(2, 10))
    assert torch.unique(tokens[0].round(decimals=4), dim=0).shape[0] == 8
    assert sum(p.numel() for p in eight.parameters()) - sum(p.numel() for p in one.parameters()) == 8 * 12


@pytest.mark.parametrize("inference_mask", ["none", "first_frame_only"])
def test_roll_out_equals_a_naive_one(inference_mask: str) -> None:
    model = motion(inference_mask=inference_mask)
    first, fmri = torch.randn(3, 2, 8, 8), torch.randn(3, 10)
    kept = first.clone()
    video = model.roll_out(first, fmri)
    naive = first[:, None]
    for length in range(1, 5):
        mask = masks.inference_mask(model.config, frames=length, device=first.device)
        step = torch.cat([model(naive[i : i + 1], fmri[i : i + 1], mask) for i in range(3)])
        naive = torch.cat((naive, step[:, -1:]), dim=1)
    assert video.shape == (3, 5, 2, 8, 8)
    torch.testing.assert_close(video, naive, atol=1e-5, rtol=1e-5)
    assert torch.equal(first, kept)
    assert torch.equal(video[:, 0], first)


def test_per_frame_mlps_are_independent() -> None:
    model = PerFrameMlps(MotionConfig(mlp_hidden=8), voxels=10, video=VIDEO)
    out = model(torch.randn(3, 10))
    assert out.shape == (3, *VIDEO)
    out[:, 2].sum().backward()
    touched = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched == {"2"}


def test_the_paper_preset_trains_as_the_paper_says() -> None:
    motion = resolve({"preset": "paper"}).motion
    assert (motion.dropout, motion.attention_dropout, motion.encoder_dropout) == (0.2, 0.15, 0.3)
    assert (motion.train.batch_size, motion.train.lr, motion.train.warmup_steps) == (64, 4e-5, 50)
    assert (motion.train.schedule, motion.train.betas) == ("constant", (0.9, 0.999))
