"""What is registered of a design: its hash never changes, and a removed feature is named."""

from typing import Any

import pytest

from platform.errors import UserError
from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.registration import KIND, frozen, registered
from storage.memory import MemoryStore
from storage.studies import save_study
from tests.platform.noop_ablations import build
from trainables.identity import digest

DESIGNS = {
    "fig10": "cf097dc3b08f28a91b9cb638161b611af54bd55785af5b7e2fc5988e70eae8a5",
    "fig11": "117b4a424e70354d485d565b4b66bc1262b422867125de5070fc46f50c2b47b9",
    "fig13": "9c657335e5057d0f06d2e0d82a692c541538e40de20cb141de94900b4aac2097",
    "fig21": "78f69dc93bd495b0048d0cb15c5eab255ae5bcdd88c891369d587a3e5f78e977",
    "fig6": "85d6f2b46516b3250bc3fcab9a79b752d6b5e6e5e33d773862bcbd3400e82ca7",
    "fig7": "420bdd6f0be720b18aac1bee64c7b128b422b85301594e7c57d634175ae2e890",
    "figs8_9_22": "919509a168d5fc954be434afa17ebfcf46d676d67f2242d4eafe1f54ab723ffb",
    "null_check": "111e5010a4655c5f315bb53bd90f1a2653dabccfe0d96e1c44269a42e11c5bcf",
    "released_code": "70821659214fe65608d0d65cb32df00ca899271e55abad47bedce0d00cf898a7",
    "regions": "8e3d2009af80e6f3564f74841b77472a044c989eccb5ad1111b660b5d847f696",
    "table10": "c332f65dcd4a17b9da7ed9883e6b0457f1b4f2d8589eccf1f370a9d8b45732f7",
    "table11": "4bd52c87670ed81dd98af6883306ba0309b9ef28cb2cd56641fd9103ffa769d8",
    "table12": "79ffcf09e0e3e409b80df0ea9d4d1d181e75640266e8dda170ea8afa051ac436",
    "table13": "c2daf18dfffcbd5858b1913b0347fe61d3451f6f243f90c0d832487199003d8c",
    "table17": "fd1ebf15bf7d9a84b1a638863838e6e1da25c7f86895223587139a83ac36a97d",
    "table6": "a7a8dbac7493b15682dadf33792552486eb1584990074e1ee412e03febb54130",
    "table8": "04ce59d5e7351acb0ccef8759d0d47fff1725116557a1c233e21f36094b5e256",
    "table9": "88e6296064b6f715b1760a2ab5459a22d76ec1bfb443a564341b62d951ba0de3",
}
"""Every shipped ablation to the hash of its design, without the identities of the baseline's stage runs.

Stores hold such hashes, so a changed one means that finished ablations are refused. A line changes only with its file.
"""


@pytest.mark.parametrize("name", DESIGNS)
def test_the_hash_of_a_shipped_design_is_the_one_that_stores_hold(name: str) -> None:
    design = load_ablation(ABLATIONS / f"{name}.yaml").design
    assert frozen(design, {})["sha256"] == DESIGNS[name]


def test_every_shipped_design_has_its_hash() -> None:
    assert sorted(DESIGNS) == sorted(path.stem for path in ABLATIONS.glob("*.yaml"))


def stored(design: dict[str, Any]) -> MemoryStore:
    """Return a store with the registration of `design`, as a version that knew its features wrote it."""
    store, body = MemoryStore(), {"design": design, "baseline": {}}
    definition = {"kind": KIND, **body, "sha256": digest(body, length=64)}
    save_study(store, "old", {"id": "old", "definition": definition})
    return store


def test_a_registered_fraction_of_a_factorial_is_refused_with_the_reason() -> None:
    design = build().design.model_dump(mode="json")
    fraction = {"fields": {"a": [0, 1], "b": [0, 1]}, "generators": ["B=A"], "cells": {}, "aliases": ["A = B"]}
    with pytest.raises(UserError, match=r"old cannot be read: .* fractional factorial \(generators: B=A\)"):
        registered(stored({**design, "factorial": fraction}), "old")


def test_a_registered_design_of_groups_is_read_as_its_conditions() -> None:
    design = build().design.model_dump(mode="json")
    together = {"overrides": {"noop.value": 0.5, "noop.epochs": 2}, "seed_offset": 0, "origin": "groups"}
    design |= {"conditions": {"wo_both": together}, "order": ["wo_both"], "family": []}
    assert registered(stored(design), "old")[0].design.names == ("baseline", "wo_both")
