"""The generator against a loop written from the formulas, and the properties that its procedures promise."""

import copy
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from benchmarks.reconstruct import Material, plain_loop, spell_out
from trainables.backbones.diffusion import noise_scheduler
from trainables.config.video import GeneratorConfig
from trainables.networks import generator
from trainables.networks.generator import Prompts, VideoGenerator

CLIPS, FRAMES, SIDE, WIDTH, TOKENS = 3, 4, 8, 12, 5
FEW = {"steps": 4, "inversion_steps": 3}


@pytest.fixture(scope="module")
def network() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=SIDE,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


@pytest.fixture(scope="module")
def material() -> Material:
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn(CLIPS, FRAMES, 4, SIDE, SIDE, generator=draw)
    conditions, empty, negative = (torch.randn(*s, WIDTH, generator=draw) for s in ((CLIPS, TOKENS), (9,), (TOKENS,)))
    return Material(latents, conditions, Prompts(empty, negative))


def make(network: Any, material: Material, **fields: Any) -> VideoGenerator:
    config = GeneratorConfig(**{**FEW, **fields})
    return VideoGenerator(
        copy.deepcopy(network), noise_scheduler(), config, prompts=material.prompts, frames=material.latents.shape[1]
    )


def run(network: Any, material: Material, **fields: Any) -> torch.Tensor:
    return make(network, material, **fields)(material.latents, material.conditions, seeds=material.seeds)


def test_the_papers_procedure_equals_a_plain_loop(network: Any, material: Material) -> None:
    config = GeneratorConfig(**FEW, guidance=3.0)
    expected = plain_loop(spell_out(copy.deepcopy(network), FRAMES), noise_scheduler(), config, material)
    torch.testing.assert_close(run(network, material, guidance=3.0), expected, atol=1e-3, rtol=1e-3)


def test_inversion_is_undone_by_denoising(network: Any, material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under one prompt, without guidance and noise, the latents come back, the better the smaller the steps.

    The network's answers are made small: so steep a field as an untrained network's is not resolved by so few steps.
    """
    gentle = copy.deepcopy(network)
    gentle.conv_out.weight.data *= 0.1
    monkeypatch.setattr(generator._Noise, "draw", lambda self: torch.zeros(1))
    same = Prompts(material.prompts.negative, material.prompts.negative)
    asked = Material(material.latents[:1], same.empty.expand(1, -1, -1), same)
    errors = []
    for steps in (10, 50):
        back = run(gentle, asked, guidance=1.0, noise_timestep=0, steps=steps, inversion_steps=steps)
        errors.append((back - asked.latents).square().mean().sqrt().item())
    assert errors[1] < 0.03
    assert errors[1] < errors[0] / 2


def test_image_to_image_starts_at_the_noise_timestep(network: Any, material: Material) -> None:
    made = make(network, material, procedure="img2img", noise_timestep=400, steps=20)
    assert made.times == [351, 301, 251, 201, 151, 101, 51, 1]
    assert make(network, material, steps=20).times[0] == 951
    config = {"procedure": "img2img", "guidance": 1.0, "noise_timestep": 100, "steps": 10}
    assert make(network, material, **config).times == [1]
    noise = torch.stack(
        [torch.randn(FRAMES, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    )
    level, before = noise_scheduler().alphas_cumprod[[1, 0]]
    state = level**0.5 * material.latents + (1 - level) ** 0.5 * noise
    plain = spell_out(copy.deepcopy(network), FRAMES)
    for clip in range(CLIPS):
        context = material.conditions[clip].expand(FRAMES, -1, -1)
        seen = plain(state[clip], 1, encoder_hidden_states=context).sample.detach()
        expected = before**0.5 * (state[clip] - (1 - level) ** 0.5 * seen) / level**0.5 + (1 - before) ** 0.5 * seen
        torch.testing.assert_close(run(network, material, **config)[clip], expected, atol=1e-4, rtol=1e-4)


def test_below_the_first_step_latents_stay(network: Any, material: Material) -> None:
    assert torch.equal(run(network, material, procedure="img2img", noise_timestep=0), material.latents)


@pytest.mark.parametrize("fields", [{}, {"procedure": "img2img", "noise_timestep": 800, "eta": 1.0, "noise": "shared"}])
def test_a_clip_is_the_same_in_any_batch(network: Any, material: Material, fields: dict[str, Any]) -> None:
    together = run(network, material, guidance=2.0, **fields)
    assert torch.equal(together, run(network, material, guidance=2.0, **fields))
    draw = make(network, material, guidance=2.0, **fields)
    alone = draw(material.latents[2:], material.conditions[2:], seeds=[2])
    torch.testing.assert_close(alone[0], together[2], atol=1e-3, rtol=1e-3)
    other = draw(material.latents[2:], material.conditions[2:], seeds=[3])
    assert not torch.allclose(other, alone, atol=0.05)


@pytest.mark.parametrize(("guidance", "halves"), [(0.0, 1), (1.0, 1), (3.0, 2)])
def test_passes_and_rows_are_bounded(network: Any, material: Material, guidance: float, halves: int) -> None:
    rows: list[tuple[int, int]] = []

    def watch(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows.append((len(given[0]), named["encoder_hidden_states"].shape[1]))

    made = make(network, material, guidance=guidance)
    made.unet.register_forward_pre_hook(watch, with_kwargs=True)
    made(material.latents, material.conditions, seeds=material.seeds)
    assert rows == [(CLIPS * FRAMES, 9)] * 3 + [(CLIPS * FRAMES, TOKENS)] * 4 * halves


def test_frames_look_at_the_first_one_unless_told_not_to(network: Any, material: Material) -> None:
    changed = Material(material.latents.clone(), material.conditions, material.prompts)
    changed.latents[:, 0] += 1.0
    for attention, looks in (("first_and_previous", True), ("own_frame", False)):
        before, after = (run(network, given, guidance=1.0, attention=attention) for given in (material, changed))
        assert torch.allclose(before[:, -1], after[:, -1], atol=1e-5) is not looks


def test_shared_noise_keeps_a_still_clip_still(network: Any, material: Material) -> None:
    still = Material(material.latents[:, :1].repeat(1, FRAMES, 1, 1, 1), material.conditions, material.prompts)
    for noise, stays in (("shared", True), ("independent", False)):
        made = run(network, still, noise=noise, eta=0.5)
        assert torch.allclose(made[:, 0], made[:, -1], atol=1e-2) is stays


def test_reduced_precision_is_close(network: Any, material: Material) -> None:
    exact = run(network, material, guidance=1.0)
    reduced = run(copy.deepcopy(network).to(torch.bfloat16), material, guidance=1.0)
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, exact)
    assert (reduced - exact).square().mean() < 0.01 * exact.square().mean()


def test_from_scratch_equals_a_plain_loop_from_noise(network: Any, material: Material) -> None:
    fields = {"procedure": "scratch", "guidance": 1.0, "attention": "own_frame"}
    seen = run(network, material, **fields)
    schedule = noise_scheduler()
    schedule.set_timesteps(FEW["steps"])
    assert schedule.timesteps[0] > 700, "all times, as for an image"
    for clip in range(CLIPS):
        state = torch.randn(FRAMES, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(clip))
        context = material.conditions[clip].expand(FRAMES, -1, -1)
        for time in schedule.timesteps:
            with torch.no_grad():
                predicted = network(state, time, encoder_hidden_states=context).sample
            state = schedule.step(predicted, time, state, eta=0.0).prev_sample
        torch.testing.assert_close(seen[clip], state, atol=1e-3, rtol=1e-3)
    other = Material(torch.zeros_like(material.latents), material.conditions, material.prompts)
    assert torch.equal(run(network, other, **fields), seen), "no latent counts"


def test_mixed_noise_has_unit_variance_and_the_stated_share() -> None:
    seeds, video = range(200), (6, 2, 4, 4)
    for share in (0.0, 0.3, 1.0):
        drawn = generator._Noise(seeds, video, share=share).draw().view(200, 6, -1)
        assert drawn.var().item() == pytest.approx(1.0, abs=0.03)
        across = (drawn[:, 1:] * drawn[:, :-1]).mean().item()
        assert across == pytest.approx(share, abs=0.03)
