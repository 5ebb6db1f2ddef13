"""Classifiers and CLIP from folders in the formats of the real ones, tiny and randomly initialised."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from trainables.backbones.classifiers import load_image_classifier
from trainables.metrics.networks import load_network, load_networks
from trainables.metrics.video import reading_of

SMALL: Any = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 12,
}
PREPARATION: Any = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.4, 0.3]}


def clip(*, frames: int = 4, size: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **SMALL)).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(PREPARATION))
    return tmp_path / "vit"


@pytest.fixture
def videomae(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = VideoMAEConfig(image_size=32, patch_size=8, num_frames=16, tubelet_size=2, **SMALL)
    VideoMAEForVideoClassification(config).save_pretrained(tmp_path / "videomae")
    preparation = {**PREPARATION, "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    (tmp_path / "videomae" / "preprocessor_config.json").write_text(json.dumps(preparation))
    return tmp_path / "videomae"


def test_image_classifier_sees_what_its_own_processor_shows_it(vit: Path) -> None:
    processor = ViTImageProcessorPil(**PREPARATION)
    pixels = torch.as_tensor(np.stack(processor(list(clip()))["pixel_values"]))
    model: Any = ViTForImageClassification.from_pretrained(vit)
    model.eval()
    with torch.no_grad():
        theirs = model(pixel_values=pixels).logits
    ours = load_image_classifier(str(vit))(torch.from_numpy(clip()))
    assert ours.shape == (4, 12)
    assert torch.allclose(ours, theirs, atol=2e-2 * theirs.std().item())


@pytest.mark.parametrize("frames", [4, 8])
def test_video_classifier_takes_the_frames_there_are(videomae: Path, frames: int) -> None:
    logits = load_network("video_classifier", str(videomae), frames=frames)(clip(frames=frames))
    assert logits.shape == (1, 12)
    assert np.isfinite(logits).all()


def test_odd_frame_counts_do_not_fit_into_tubelets(videomae: Path) -> None:
    with pytest.raises(ValueError, match="needs a multiple of 2 frames, but clips have 5"):
        load_network("video_classifier", str(videomae), frames=5)


def test_missing_weights_are_named(vit: Path, tmp_path: Path) -> None:
    (vit / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"cannot load the image classifier from {vit}"):
        load_network("image_classifier", str(vit), frames=4)
    (vit / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="cannot load the video classifier"):
        load_network("video_classifier", str(vit), frames=4)


def test_the_phantoms_clip_embeds_every_frame() -> None:
    embeddings = load_network("clip", "phantom", frames=4)(clip(size=64))
    assert len(embeddings) == 4
    assert np.isfinite(embeddings).all()
    assert np.ptp(embeddings, axis=0).max() > 0


def test_one_clip_model_serves_two_metrics_and_runs_once() -> None:
    networks = load_networks({"vifi": "phantom", "clip": "phantom"}, frames=4)
    assert networks.vifi is networks.clip
    assert networks.image_classifier is None
    outputs = reading_of(clip(), networks).outputs
    assert outputs.keys() == {"vifi", "clip"}
    assert outputs["vifi"] is outputs["clip"]


def test_a_classifier_without_its_head_is_refused(vit: Path) -> None:
    """transformers would only log it, and classify at random."""
    weights = load_file(vit / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("classifier.")},
        vit / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"the image classifier in .*vit lacks 2 weights .*classifier\.bias"):
        load_image_classifier(str(vit))
