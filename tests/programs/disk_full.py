"""FOLDER: fill the disk by a store and by safetensors, and print what each error is called.

The limit of a file's size is the only full disk that needs no root.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from storage.local import LocalStore
from trainables.failure import cause_of


def tell(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:
        print(cause_of(error))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
    tell(lambda: LocalStore(folder).put("blob", bytes(1 << 20)))
    tell(lambda: save_file({"x": torch.zeros(1 << 20)}, folder / "x.safetensors"))
