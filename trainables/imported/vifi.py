"""ViFi-CLIP in the file of its authors (github.com/muzairkhattak/ViFi-CLIP), made the folder of an image encoder.

Their training writes a dict with the tensors under `model`, each name after `module.`, and the config of the run. The
image encoder has the names of OpenAI's CLIP; the text encoder, which the VIFI-score does not use, is left out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from trainables.imported.author_names import Rule, renamed
from trainables.imported.loading import Source, check_against, converted, read_checkpoint, written_whole
from trainables.imported.weights_folder import FACTS, MODEL

_IMAGE = r"(?:image_encoder|visual)\."
_BLOCK = _IMAGE + r"transformer\.resblocks\.(\d+)\."
_LAYER = r"vision_model.encoder.layers.\1."
_BOTH = r"(weight|bias)"
RULES = (
    Rule(_IMAGE + r"class_embedding", "vision_model.embeddings.class_embedding"),
    Rule(_IMAGE + r"positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    Rule(_IMAGE + r"conv1\.weight", "vision_model.embeddings.patch_embedding.weight"),
    Rule(_IMAGE + rf"ln_pre\.{_BOTH}", r"vision_model.pre_layrnorm.\1"),
    Rule(_IMAGE + rf"ln_post\.{_BOTH}", r"vision_model.post_layernorm.\1"),
    Rule(_IMAGE + r"proj", "visual_projection.weight"),
    Rule(_BLOCK + rf"ln_([12])\.{_BOTH}", _LAYER + r"layer_norm\2.\3"),
    Rule(_BLOCK + rf"attn\.in_proj_{_BOTH}", _LAYER + r"self_attn.in_proj.\2"),
    Rule(_BLOCK + rf"attn\.out_proj\.{_BOTH}", _LAYER + r"self_attn.out_proj.\2"),
    Rule(_BLOCK + rf"mlp\.c_fc\.{_BOTH}", _LAYER + r"mlp.fc1.\2"),
    Rule(_BLOCK + rf"mlp\.c_proj\.{_BOTH}", _LAYER + r"mlp.fc2.\2"),
    Rule(r"prompt_learner\.(complete_text_embeddings|token_prefix|token_suffix)", None),
    Rule(r"text_encoder\..*|logit_scale", None),
    # Those of a whole model of OpenAI's.
    Rule(r"transformer\..*|token_embedding\.weight|positional_embedding|ln_final\..*|text_projection", None),
    Rule(r"input_resolution|context_length|vocab_size", None),
)
"""Their names, without `module.`, to those of transformers. One with learned prompts has names that match no rule."""
_HEAD_WIDTH = 64
"""Of every CLIP."""
_PREPARATION: Mapping[str, Any] = {
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,  # bilinear
}
"""What their code does to frames (mind-animator.md B62): mean and deviation of ImageNet."""
_RESIZED = 256 / 224
"""Shorter side after resizing, as a multiple of the side of the centre that is cut out."""


def import_vifi(file: Path, folder: Path) -> int:
    """Write the image encoder in `file` to `folder`, which must not exist. Return its number of parameters.

    The folder holds a `CLIPVisionModelWithProjection` as transformers reads it, with its preparation of frames.

    Raises:
        ValueError: The file cannot be read, would execute code, or holds another network.
    """
    theirs = read_checkpoint(file)
    try:
        renamed(theirs, RULES)
    except ValueError as error:
        hint = "is it ViFi-CLIP with a ViT and without learned prompts, or such a CLIP of OpenAI's?"
        raise ValueError(f"{file}: {error}; {hint}") from error
    tensors = _projections(converted(theirs, RULES, file=file))
    config = _config(tensors, file)
    with torch.device("meta"):
        network = CLIPVisionModelWithProjection(config)
    if problems := check_against(network, tensors):
        raise ValueError(
            f"{file}: does not fit the image encoder that its first layer belongs to: {'; '.join(problems)}"
        )
    parameters = sum(tensor.numel() for tensor in tensors.values())
    with written_whole(folder) as unfinished:
        save_file(tensors, unfinished / MODEL, metadata={"format": "pt"})
        _write(unfinished / "config.json", _fields(config))
        _write(unfinished / "preprocessor_config.json", _preparation(config.image_size))
        _write(unfinished / FACTS, {"judge": "vifi", "sha256": Source.of(file).sha256, "parameters": parameters})
    return parameters


def _projections(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with one projection each for query, key and value, and the last layer as torch's Linear."""
    split: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if ".in_proj." in name:
            for part, values in zip("qkv", tensor.chunk(3), strict=True):
                split[name.replace(".in_proj.", f".{part}_proj.")] = values.contiguous()
        else:
            split[name] = tensor.T.contiguous() if name == "visual_projection.weight" else tensor
    return split


def _config(tensors: Mapping[str, Tensor], file: Path) -> CLIPVisionConfig:
    """Return the sizes of the network, read off the tensors as OpenAI's code does."""
    embeddings = "vision_model.embeddings"
    needed = (
        f"{embeddings}.patch_embedding.weight",
        f"{embeddings}.position_embedding.weight",
        "visual_projection.weight",
    )
    if missing := [name for name in needed if name not in tensors or tensors[name].ndim < 2]:
        raise ValueError(f"{file}: {', '.join(missing)} is missing; is it a checkpoint of ViFi-CLIP?")
    patches, positions, projection = (tensors[name] for name in needed)
    width, side = patches.shape[0], patches.shape[-1]
    mlp = tensors.get("vision_model.encoder.layers.0.mlp.fc1.weight")
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width if mlp is None else mlp.shape[0],
        num_hidden_layers=sum(name.endswith(".q_proj.weight") for name in tensors),
        num_attention_heads=max(1, width // _HEAD_WIDTH),
        image_size=side * round((positions.shape[0] - 1) ** 0.5),
        patch_size=side,
        projection_dim=projection.shape[0],
    )


def _fields(config: CLIPVisionConfig) -> dict[str, Any]:
    """Return `config.json`, without the version of transformers: equal files give equal folders."""
    fields = {name: value for name, value in config.to_dict().items() if name != "transformers_version"}
    return {**fields, "architectures": [CLIPVisionModelWithProjection.__name__]}


def _preparation(side: int) -> dict[str, Any]:
    resized = {"shortest_edge": int(_RESIZED * side)}
    return {"size": resized, "crop_size": {"height": side, "width": side}, **_PREPARATION}


def _write(file: Path, fields: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
