"""What the decoder stages share."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from trainables.stages.decoding import pick, read_tensors


def test_rows_in_order_are_a_view_of_the_mapped_file_and_no_copy(tmp_path: Path) -> None:
    save_file({"latents": torch.arange(4000.0).view(100, 40)}, tmp_path / "features.safetensors")
    tensor = read_tensors(tmp_path / "features.safetensors", ("latents",))["latents"]
    rows = pick(tensor, torch.arange(10, 90))
    assert rows.data_ptr() == tensor.data_ptr() + 10 * 40 * 4
    assert str(tmp_path / "features.safetensors") in Path("/proc/self/maps").read_text()
    assert rows[0, 0] == 400.0


def test_scattered_rows_are_picked_one_by_one() -> None:
    tensor = torch.arange(20.0).view(10, 2)
    assert torch.equal(pick(tensor, torch.tensor([7, 2, 3])), tensor[[7, 2, 3]])
    assert torch.equal(pick(tensor, torch.tensor([2, 4])), tensor[[2, 4]])
