"""Fields with which the released code's data, targets and metrics are switched on: each does what it is said to do."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tests.trainables.test_decoder_stages import TINY, TRAIN, World, tiny
from tests.trainables.test_features import FACTORS, Bench
from trainables import losses
from trainables.backbones.load import load_text_encoder
from trainables.config.features import FeaturesConfig
from trainables.config.trial import resolve
from trainables.config.video import EvaluateConfig
from trainables.datasets.clips import Frames
from trainables.datasets.eda import CYCLE, STOP_WORDS, load_synonyms, variants
from trainables.datasets.phantom.stimuli import captions
from trainables.datasets.video_io import as_gif
from trainables.judging.bench import defined
from trainables.judging.values import Value, above_average
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.nway import TWO_WAY
from trainables.metrics.pixels import hue_cos_legacy
from trainables.metrics.retrieval import ranks
from trainables.metrics.video import Reading
from trainables.randomness import derived_seed
from trainables.stages import semantic
from trainables.stages.features import _views
from trainables.stages.scaling import standardise

CAPTION = "a large red disc moving left over a green checkerboard beside the sea"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("features"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_thirteenth_of_the_candidates_is_the_caption_and_three_have_each_operation() -> None:
    altered = variants((CAPTION,), count=2 * CYCLE - 1, rng=np.random.default_rng(0), operations="one")
    candidates, words = (CAPTION, *altered), Counter(CAPTION.split())
    assert [place for place, text in enumerate(candidates) if text == CAPTION] == [0, CYCLE]
    replaced, inserted, swapped, deleted = ([Counter(t.split()) for t in altered[i : i + 3]] for i in (0, 3, 6, 9))
    assert all(sum(text.values()) == sum(words.values()) and text != words for text in replaced)
    assert all(words < text and sum((text - words).values()) == len(CAPTION.split()) // 5 for text in inserted)
    assert all(text == words for text in swapped)
    assert all(text <= words for text in deleted)


def test_stop_words_are_not_replaced() -> None:
    synonyms = dict.fromkeys(("a", "the", "over", "sea", "disc"), ("other",))
    for text in variants((CAPTION,), count=3, rng=np.random.default_rng(1), operations="one"):
        assert [w for w in text.split() if w in STOP_WORDS] == [w for w in CAPTION.split() if w in STOP_WORDS]
    altered = variants(
        (CAPTION,), count=3, rng=np.random.default_rng(1), operations="one", synonyms=lambda w: synonyms.get(w, ())
    )
    assert all(text.split().count("other") == 2 and "the" in text.split() for text in altered)


@pytest.mark.long
def test_crops_at_a_shared_position_differ_by_variant_alone(bench: Bench) -> None:
    same = {"crop_fraction": 0.5, "image_variants": 2, "image_target": "fixed_frame"}
    shared, own = bench(crop_position="shared", **same), bench(**same)
    assert torch.equal(shared["clip_image"], own["clip_image"])
    assert not torch.equal(shared["clip_image_variants"], own["clip_image_variants"])
    views = _views((10, 4, 64, 64, 3), FeaturesConfig(**same, crop_position="shared"))
    assert (views.top == views.top[:1]).all()
    assert (views.left == views.left[:1]).all()
    assert (views.top[0, 0], views.left[0, 0]) != (views.top[0, 1], views.left[0, 1])


@pytest.mark.long
def test_the_condition_of_each_variant_is_that_of_its_text(bench: Bench) -> None:
    plain = bench(text_variants=3)
    augmented = bench(text_variants=3, condition_target="augmented")
    assert "condition_variants" not in plain
    assert augmented["condition_variants"].shape == (10, 3, *augmented["condition"].shape[1:])
    rng = np.random.default_rng(derived_seed(0, "features", "text"))
    texts = [text for caption in captions(FACTORS) for text in variants((caption,), count=3, rng=rng)]
    by_hand = load_text_encoder("phantom").encode(texts, tokens=20).reshape(augmented["condition_variants"].shape)
    assert torch.allclose(augmented["condition_variants"], by_hand, atol=1e-5)
    assert not torch.allclose(augmented["condition_variants"], augmented["condition"][:, None], atol=1e-2)


class Recorded:
    """The targets that the semantic loss was given, batch by batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.targets: list[Any] = []
        true_loss = losses.semantic_loss

        def loss(config: Any, prediction: Any, target: Any, scale: Any, **how: Any) -> Any:
            if torch.is_grad_enabled():
                self.targets.append(tuple(part.clone() for part in target))
            return true_loss(config, prediction, target, scale, **how)

        monkeypatch.setattr(semantic, "semantic_loss", loss)


def numbered(world: World, *, texts: int, images: int) -> None:
    """Store features in which the first value of a candidate is its number: 0 for the caption or frame itself."""
    for name, count in (("clip_text", texts), ("clip_image", images), ("condition", texts)):
        own = world.truth[name].clone()
        own.view(len(own), -1)[:] = 0.5
        more = own[:, None].repeat(1, count, *([1] * (own.ndim - 1))) + torch.arange(1, count + 1).view(
            1, count, *([1] * (own.ndim - 1))
        )
        world.truth[name], world.truth[f"{name}_variants"] = own, more
    world.add("features", {"features.safetensors": {k: v for k, v in world.truth.items() if k != "fmri"}})


def test_by_epoch_no_candidate_comes_twice_and_text_and_condition_belong_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered(world, texts=4, images=3)
    recorded = Recorded(monkeypatch)
    world.run(
        "semantic", tiny(semantic__variants="by_epoch", semantic__train__epochs=5, semantic__train__batch_size=200)
    )
    texts, images = (torch.stack([target[part][:, 0] for target in recorded.targets]) - 0.5 for part in (0, 1))
    conditions = torch.stack([target[2][:, 0, 0] for target in recorded.targets]) - 0.5
    assert torch.equal(texts, conditions)
    assert torch.equal(images, torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0])[:, None].expand(5, 200))
    counts = torch.stack([torch.bincount(epoch.long(), minlength=5) for epoch in texts])
    assert torch.equal(counts, torch.full((5, 5), 40)), "in each epoch a fifth of the clips shows its caption itself"


def test_without_stored_variants_the_condition_is_that_of_the_caption(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(monkeypatch)
    world.run("semantic", tiny(semantic__train__epochs=1, semantic__train__batch_size=200))
    (target,) = recorded.targets
    own = world.truth["condition"][TRAIN, 1:]
    assert sorted(target[2].flatten().tolist()) == sorted(own.flatten().tolist())


def test_of_duplicated_pairs_one_is_first_by_order_and_none_by_average() -> None:
    gallery = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    assert (ranks(gallery, gallery) == 1.5).all()
    by_order = ranks(gallery, gallery, ties="order")
    assert by_order.tolist() == [2.0] * 30 + [1.0] * 30
    distinct = gallery[:30]
    assert torch.equal(ranks(distinct, distinct, ties="order"), ranks(distinct, distinct))


def test_the_scaler_can_include_validation_rows() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (60, 5))
    split = np.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
    scaled, columns = standardise(rows, split, own_test=False, with_validation=True)
    assert columns["mean"] == pytest.approx(rows[:50].mean(axis=0), abs=1e-6)
    assert scaled[:50].mean(axis=0) == pytest.approx(0.0, abs=1e-6)
    assert scaled[:50].std(axis=0) == pytest.approx(1.0, abs=1e-6)
    assert standardise(rows, split, own_test=False)[1]["mean"] == pytest.approx(rows[:40].mean(axis=0), abs=1e-6)


def gradient(frames: int = 3) -> Frames:
    ramp = np.random.default_rng(5).integers(0, 256, (frames, 40, 40, 3))
    return np.asarray(ramp, np.uint8)


def test_as_gif_is_what_a_gif_written_and_read_back_holds() -> None:
    for frame, kept in zip(gradient(), as_gif(gradient()), strict=True):
        file = io.BytesIO()
        Image.fromarray(frame).quantize(256, Image.Quantize.MEDIANCUT).save(file, "GIF")
        assert np.array_equal(np.asarray(Image.open(file).convert("RGB")), kept)
        assert len(np.unique(kept.reshape(-1, 3), axis=0)) <= 256
    few = np.zeros((2, 16, 16, 3), np.uint8)
    few[:, 4:9] = (10, 200, 30)
    assert np.array_equal(as_gif(few), few)


def metric(short: str, **fields: Any) -> Any:
    (found,) = defined([CLIP_METRICS[short]], EvaluateConfig(**fields))
    return found


def test_hue_of_the_first_frames_alone() -> None:
    truth, other = gradient(8), gradient(8)[::-1].copy()
    readings = Reading(truth, {}, {}), Reading(other, {}, {})
    assert metric("hue_cos_legacy", hue_frames=6).score(*readings) == hue_cos_legacy(truth[:6], other[:6])
    assert metric("hue_cos_legacy").score(*readings) == hue_cos_legacy(truth, other)
    assert metric("hue_cos_legacy", hue_frames=6).score(*readings) != hue_cos_legacy(truth, other)


def test_sampled_two_way_is_a_mean_of_so_many_draws_per_frame_about_the_exact_value() -> None:
    rng = np.random.default_rng(3)
    exact, sampled = [], []
    for clip in range(60):
        logits = rng.normal(size=(2, 4, 30)).astype(np.float32)
        readings = [Reading(np.full((4, 8, 8, 3), clip, np.uint8), {}, {"image_classifier": part}) for part in logits]
        exact.append(metric("two_way_i").score(*readings))
        sampled.append(metric("two_way_i", image_trials=20).score(*readings))
        assert exact[-1] == TWO_WAY.exact(*logits).mean()
        assert sampled[-1] == metric("two_way_i", image_trials=20).score(*readings), "the same clip, the same draws"
        assert sampled[-1] * 4 * 20 == pytest.approx(round(sampled[-1] * 4 * 20), abs=1e-9)
    assert np.mean(sampled) == pytest.approx(np.mean(exact), abs=4 * (0.25 / (60 * 4 * 20)) ** 0.5)


def test_the_gate_at_the_average_closes_for_clips_at_or_below_their_systems_mean() -> None:
    scores = {"a": 0.2, "b": 0.4, "c": 0.9}
    values = [Value("system", "", clip, "vifi", score) for clip, score in scores.items()]
    values += [Value("system", "", clip, "clip_pcc", 0.8) for clip in scores]
    values += [Value("other", "", "a", "vifi", 0.1), Value("other", "", "a", "clip_pcc", 0.7)]
    gated = {(v.system, v.clip): v.value for v in above_average(values) if v.metric == "clip_pcc"}
    assert gated == {("system", "a"): 0.0, ("system", "b"): 0.0, ("system", "c"): 0.8, ("other", "a"): 0.0}
    assert metric("clip_pcc", clip_pcc_gate="average").options == {"gated": 0}


@pytest.mark.long
def test_the_monitor_from_the_true_first_frame_is_reported_only_if_it_is_chosen(world: World) -> None:
    world.run("structure", tiny())
    plain, _ = world.run("motion", tiny())
    chosen, _ = world.run("motion", tiny(motion__monitor="true_first_mse"))
    assert "true_first_mse" not in plain.metrics
    assert {"true_first_mse", "test_true_first_mse"} <= chosen.metrics.keys()
    assert chosen.metrics["true_first_mse"] < chosen.metrics["rollout_mse"] * 1.5
    assert chosen.metrics["true_first_mse"] != chosen.metrics["rollout_mse"]
    best = min(chosen.history, key=lambda row: row["true_first_mse"])
    assert chosen.info["best_epoch"] == str(chosen.history.index(best) + 1)


@pytest.mark.parametrize("other", [{}, {"patience": 3, "keep": "last"}])
def test_an_epoch_cannot_be_chosen_by_clips_that_are_trained_on(other: dict[str, Any]) -> None:
    fields = {f"structure.train.{name}": value for name, value in other.items()}
    with pytest.raises(ValidationError, match="keep must be last and patience 0"):
        resolve({**TINY, **fields, "structure.train.rows": "train_and_validation"})


def test_the_papers_token_width_follows_the_patch_size_unless_it_is_set() -> None:
    widths = [resolve({"preset": "paper", "motion.patch_size": p}).motion.width for p in (4, 8, 16, 32, 64)]
    assert widths == [512, 512, 1024, 4096, 16384]
    assert resolve({"preset": "paper", "motion": {"patch_size": 4, "width": 96}}).motion.width == 96
    assert resolve({"motion.patch_size": 4}).motion.width == 128
    small = resolve({"preset": "paper", "motion.kind": "cmg_small_patch", "motion.patch_size": 64}).motion
    assert (small.width, small.heads, small.depth) == (512, 8, 4)


def test_a_folder_without_wordnet_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks index\.noun, data\.noun, index\.verb, so it is no folder of WordNet"):
        load_synonyms(str(tmp_path))
    assert resolve({"features.synonyms": "wordnet"}).features.synonyms == "/usr/share/wordnet"
