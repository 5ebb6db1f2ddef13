"""A folder laid out as Stable Diffusion v1-5's, with random weights and few channels."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

WIDTH = 32
"""Of the text condition."""
SCHEDULER = {  # as in the real folder, where it names another class
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}


def build(folder: Path, *, width: int = WIDTH) -> Path:
    """Save unet (for conditions of `width`), vae (64 pixels to 8 x 8), text_encoder, tokenizer, scheduler; seeded."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 32, 64, 64), layers_per_block=1, cross_attention_dim=width
    )
    assert set(unet.config.down_block_types) == {"CrossAttnDownBlock2D", "DownBlock2D"}, "diffusers' default is v1-5's"
    unet.save_pretrained(folder / "unet")
    coder = {"block_out_channels": (8, 8, 16, 16), "latent_channels": 4, "norm_num_groups": 4, "sample_size": 64}
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    AutoencoderKL(down_block_types=down, up_block_types=up, **coder).save_pretrained(folder / "vae")
    words = ["<|startoftext|>", "<|endoftext|>", *"abdelru", *(f"{letter}</w>" for letter in "abdelru")]
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    _tokenizer(folder / "tokenizer", words)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return folder


def _tokenizer(folder: Path, words: list[str]) -> None:
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    ends = {"bos_token": words[0], "eos_token": words[1], "pad_token": words[1], "unk_token": words[1]}
    fields = {**ends, "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
