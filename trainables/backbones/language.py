"""Trains the phantom's CLIP, and the text encoder that conditions its diffusion model, in the formats of the real ones.

Both see captions that EDA has altered as often as plain ones, and now and then an unknown word, so that augmented and
users' captions do not fall outside of what they know.
"""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from trainables.backbones.load import ClipModel, load_clip
from trainables.backbones.material import TRAINING, LabelledClips, draw_clips
from trainables.backbones.preparation import Preparation
from trainables.datasets.eda import SYNONYMS, augment
from trainables.datasets.phantom.stimuli import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, SIZES, SPEEDS, TEXTURES

logger = logging.getLogger(__name__)

LENGTH = 20
"""Tokens of a text, begin and end included; the longest caption has 15 before EDA lengthens it."""
SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<begin>", "eos_token": "<end>"}
CLIP_PREPARATION = Preparation(size=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words: those of captions and their synonyms. Any other word is `<unk>`."""
    tables = (SHAPES, COLOURS, SIZES, TEXTURES.values(), BACKGROUNDS, DIRECTIONS, SPEEDS)
    spoken = {word for table in tables for text in table for word in re.findall(r"[a-z]+", text)} | {"a", "over"}
    words = [*SPECIAL.values(), *sorted(spoken | {other for word in spoken for other in SYNONYMS.get(word, ())})]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, words.index(word)) for word in ("<begin>", "<end>")]
    core.post_processor = processors.TemplateProcessing(single="<begin> $A <end>", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=LENGTH, **SPECIAL)


def _text_fields(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    ids = {name: words.convert_tokens_to_ids(SPECIAL[name]) for name in SPECIAL}
    return {
        "vocab_size": len(words),
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "pad_token_id": ids["pad_token"],
        "bos_token_id": ids["bos_token"],
        "eos_token_id": ids["eos_token"],
    }


def build_clip(words: PreTrainedTokenizerFast) -> Any:
    """Return the untrained CLIP (0.57 M parameters): text of 2 layers, ViT of 4 on patches of 8 pixels."""
    text = {"hidden_size": 96, "intermediate_size": 256, **_text_fields(words)}
    vision = {
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def build_text_encoder(words: PreTrainedTokenizerFast) -> Any:
    """Return the untrained text encoder (0.07 M parameters): 2 layers, 64 wide."""
    return CLIPTextModel(CLIPTextConfig(hidden_size=64, intermediate_size=192, **_text_fields(words)))


def train_clip(out: Path, *, seed: int, steps: int, batch: int = 96) -> None:
    """Train CLIP on single frames and their captions, and save model, tokenizer and preprocessing to `out`."""
    torch.manual_seed(seed)
    words = tokenizer()
    model = build_clip(words)
    material = draw_clips(TRAINING, seed=seed, count=6000, frames=2)
    rng = np.random.default_rng(seed)

    def loss() -> Tensor:
        index = rng.integers(len(material.captions), size=batch)
        frames = material.clips[index, rng.integers(material.clips.shape[1], size=batch)]
        ids = _ids(words, material, index, rng=rng)
        return torch.as_tensor(
            model(input_ids=ids, pixel_values=CLIP_PREPARATION(torch.from_numpy(frames)), return_loss=True).loss
        )

    _optimise("clip", model, loss, steps=steps, lr=1e-3)
    model.half().save_pretrained(out)
    words.save_pretrained(out)
    fields = {"size": CLIP_PREPARATION.size, "image_mean": CLIP_PREPARATION.mean, "image_std": CLIP_PREPARATION.std}
    (out / "preprocessor_config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def train_text(out: Path, clip: Path, *, seed: int, steps: int, batch: int = 128) -> None:
    """Train the text encoder so that the mean of its tokens tells which image a caption goes with.

    The images are embeddings of the frozen `clip`; the projection onto them is thrown away. The mean runs over all
    tokens, padding included, because the diffusion model and the semantic decoder work with all of them.
    """
    torch.manual_seed(seed)
    words = tokenizer()
    model = build_text_encoder(words)
    head = nn.Linear(64, 64)
    material = draw_clips(TRAINING, seed=seed, count=6000, frames=2)
    images = F.normalize(_embed_images(load_clip(str(clip)), material), dim=-1)
    rng = np.random.default_rng(seed)

    def loss() -> Tensor:
        index = rng.integers(len(material.captions), size=batch)
        tokens = model(input_ids=_ids(words, material, index, rng=rng)).last_hidden_state
        logits = 20.0 * F.normalize(head(tokens.mean(dim=1)), dim=-1) @ images[index].T
        target = torch.arange(batch)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    _optimise("text", nn.ModuleList([model, head]), loss, steps=steps, lr=2e-3)
    model.half().save_pretrained(out / "text_encoder")
    words.save_pretrained(out / "tokenizer")


def _ids(words: Any, material: LabelledClips, index: Any, *, rng: np.random.Generator) -> Tensor:
    """Return token ids [B,LENGTH] of captions of which half are augmented and one word in thirty is unknown."""
    texts = [augment(material.captions[i], rng) if rng.random() < 0.5 else material.captions[i] for i in index]
    batch = words(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    ids: Tensor = batch.input_ids
    hidden = torch.from_numpy(rng.random(ids.shape) < 1 / 30) & (ids >= len(SPECIAL))
    return ids.masked_fill(hidden, words.unk_token_id)


def _optimise(name: str, model: nn.Module, loss: Callable[[], Tensor], *, steps: int, lr: float) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(1, steps + 1):
        value = loss()
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0:
            logger.info("%s step %d of %d: loss %.4f", name, step, steps, value.item())
    model.eval()


def _embed_images(clip: ClipModel, material: LabelledClips) -> Tensor:
    first = torch.from_numpy(material.clips[:, 0])
    return torch.cat([clip.images(first[i : i + 256]) for i in range(0, len(first), 256)])
