"""Frozen networks by folder, store or name of the hub, in the file layouts in which the real ones are published.

All are tiny and randomly initialised; nothing is downloaded.
"""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from storage.memory import MemoryStore
from tests.trainables.stable_diffusion_folder import build
from trainables.backbones import stored_weights
from trainables.backbones.load import load_clip, load_generator, load_text_encoder, load_vae
from trainables.backbones.sources import PHANTOM, is_unpinned, locate, source_digest
from trainables.config.trial import resolve
from trainables.graph import stage_runs
from trainables.heard_warnings import hearing_warnings

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def sd(tmp_path: Path) -> Path:
    return build(tmp_path / "sd")


def same(model: torch.nn.Module, other: torch.nn.Module, *, tolerance: float = 0.0) -> bool:
    theirs = other.state_dict()
    return all(
        torch.allclose(value, theirs[name].float(), atol=tolerance) for name, value in model.state_dict().items()
    )


def test_sharded_files_are_joined_and_a_missing_shard_is_an_error(sd: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(sd / "unet")
    text = CLIPTextModel.from_pretrained(sd / "text_encoder")
    for folder, model in ((sd / "unet", unet), (sd / "text_encoder", text)):
        next(folder.glob("*.safetensors")).unlink()
        model.save_pretrained(folder, max_shard_size="30KB")
        assert len(list(folder.glob("*-of-*.safetensors"))) > 1
    assert same(load_generator(str(sd)).unet, unet)
    assert same(load_text_encoder(str(sd)).model, text)
    for folder in (sd / "unet", sd / "text_encoder"):
        sorted(folder.glob("*-of-*.safetensors"))[0].unlink()
    with pytest.raises(ValueError, match="cannot load the unet"):
        load_generator(str(sd))
    with pytest.raises(ValueError, match="cannot load the text_encoder"):
        load_text_encoder(str(sd))


def test_a_folder_with_half_precision_files_alone_is_read_in_full_precision(sd: Path) -> None:
    vae = AutoencoderKL.from_pretrained(sd / "vae")
    next((sd / "vae").glob("*.safetensors")).unlink()
    vae.half().save_pretrained(sd / "vae", variant="fp16")
    loaded = load_vae(str(sd)).model
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert same(loaded, vae)
    assert {p.dtype for p in load_generator(str(sd), precision="fp16").unet.parameters()} == {torch.float16}


def test_old_names_of_the_vaes_attention_load(sd: Path) -> None:
    vae = AutoencoderKL.from_pretrained(sd / "vae")
    file = next((sd / "vae").glob("*.safetensors"))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in load_file(file).items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        renamed[name] = tensor
    assert any(".proj_attn." in name for name in renamed)
    save_file(renamed, file, metadata={"format": "pt"})
    assert same(load_vae(str(sd)).model, vae)


def test_a_tensor_of_another_size_and_a_truncated_file_are_errors(sd: Path) -> None:
    file = next((sd / "vae").glob("*.safetensors"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot load the vae from .*sd/vae: the folder lacks it or it is damaged"):
        load_vae(str(sd))
    file.write_bytes(whole)
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name][:1].clone()}, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="vae"):
        load_vae(str(sd))


class Bucket(MemoryStore):
    """A store that counts what is read from it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.reads = 0
        for path in folder.iterdir():
            self.put(path.name, path.read_bytes())

    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


def test_weights_in_a_store_are_fetched_once_and_known_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, uri = Bucket(PHANTOM / "clip"), "s3://bucket/models/clip"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stored_weights, "open_store", lambda uri, patience: bucket)
    stored_weights.fetched_weights.cache_clear()
    assert same(load_clip(uri).model, load_clip("phantom").model)
    reads = bucket.reads
    stored_weights.fetched_weights.cache_clear()
    assert source_digest(locate(uri, kind="clip")) == source_digest(locate("phantom", kind="clip"))
    assert bucket.reads == reads > 0

    def identity(source: str) -> str:
        return stage_runs(resolve({"backbones.clip": source}), seed=0, targets=["features"])[-1].identity

    folder = shutil.copytree(PHANTOM / "clip", tmp_path / "elsewhere")
    assert identity(uri) == identity(str(folder)), "the content counts, not the place"
    stored_weights.fetched_weights.cache_clear()


def test_weights_in_a_local_store_are_used_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = Path(shutil.copytree(PHANTOM / "clip", tmp_path / "clip"))
    located = locate(folder.as_uri(), kind="clip")
    assert source_digest(located) == source_digest(locate("phantom", kind="clip"))
    assert {path.resolve().parent for path in Path(located.location).iterdir()} == {folder.resolve()}


def test_an_empty_or_wrong_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"backbones\.clip: nothing lies below file://"):
        locate(f"file://{tmp_path}/none", kind="clip")
    with pytest.raises(ValueError, match=r"backbones\.clip: ftp://x cannot be read: unknown store scheme"):
        locate("ftp://x", kind="clip")


def test_a_pinned_name_of_the_hub_is_read_offline_from_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    shutil.copytree(PHANTOM / "clip", tmp_path / "models--some--clip" / "snapshots" / REVISION)
    assert same(load_clip(f"some/clip@{REVISION}").model, load_clip("phantom").model)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set, and the hub's cache"):
        load_clip("some/other@main")


@pytest.mark.parametrize(
    ("name", "warned"), [("some/clip", True), ("some/clip@main", True), (f"some/clip@{REVISION}", False)]
)
def test_a_name_without_a_commit_says_which_one_was_loaded(
    name: str, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--some--clip"
    shutil.copytree(PHANTOM / "clip", repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    heard: list[str] = []
    with hearing_warnings(heard.append):
        load_clip(name)
    text = f"some/clip names no commit; the loaded weights are of {REVISION}; some/clip@{REVISION} fixes it"
    assert heard == ([text] if warned else [])
    assert is_unpinned(name) == warned
