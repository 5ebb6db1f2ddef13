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
    "unseen_combinations": "564e4ce624657b324e521e7ba7c8d1d7efc8f3fe4335d6eb89c1299a237a7002",
    "fig10": "ab63706b3f30719049091b502c6991bdb717681fa1d7841d7e1fd67a7a6f79f6",
    "fig11": "7fb90aa74da7cc34a2314963abadb76fb325d32c89a76d546dc58fd76fdfaf7a",
    "fig13": "314c1d5ea01c87edeb28da24ad519a3865e394c26df265c92125a25eb35a96cb",
    "fig21": "db7fa767cf95746d46608f0f709a5a42a955b1ac0f60f884cc136866a228811b",
    "fig6": "c9b863091b0ee3c0ba2d030aedc73a93e46739d2d32e0807026b86cbc661f35c",
    "fig7": "a79a44ef11cc0128b4efd0209786b436375dfafac41bd44de60f0a1591723e31",
    "figs8_9_22": "919509a168d5fc954be434afa17ebfcf46d676d67f2242d4eafe1f54ab723ffb",
    "null_check": "88338128a264d7032baafff242844dbf9f48ec82fc96a1c9ec865a6e2378aabc",
    "released_code": "d792c9c2ddca3e7a23dcb702a01fdcd501dbd9fcb0cfdfb23d092b501ae80965",
    "other_worlds": "ea22c87d00434cddbf9b6ab3f8704ecd350aa8a0ae56cb044032b13506a1f00d",
    "regions": "8e3d2009af80e6f3564f74841b77472a044c989eccb5ad1111b660b5d847f696",
    "table10": "315021ed2c5460f930b9d45512c7660ca0b5b8cbe6d9527805122c3b056ee49c",
    "table11": "e3a6d990a0f961ca513cfeda0dcd9d029252e34a4ff70d007156d0ae7fa7a10c",
    "table12": "bc65dc5e32bb9b117c912c76825919719badaa4daa90e669059665e500d13474",
    "table13": "fdc1eb786251052beba8b664ab318089051e6ca36d3f2bdd89e2812394ac5a87",
    "table17": "7e8b8d879fc8278c2198ab60bfbb98282db3fab91772837bf6567a95cddaec42",
    "table6": "a2aeaa759454469136841b7354ba8609a6837d496f211170e725621c7f68e219",
    "table8": "e6651ef32e262a2e8eed0a69f8184c6f5d7e10064ef19b3c0bc74d3644ef75c6",
    "table9": "c22183dba03be367372c63a019a58be0b27019af1e0e633f11a2de4732f3c06d",
    "encoding": "99bf339b85e3833f613da342036ed944cc266fb35127ec0405b2b0fbed271d7f",
    "fcvgan_like": "188b9c2e9f44eb30ed282ea93395e0e79bf20e99b3f695873afdec0b14e43953",
    "han_like": "0a82a0c4f6db7f5ba302f0933518bf2954dc313bf4a78aa8a1a819518ad3f32c",
    "leave_one_subject_out": "368444e69cfa0d57f4f7a34226abea3451a269960d7ba42a2744d340472065ed",
    "kupershmidt_like": "ba602776346f17b628f863154e495e20fb8314ac728d3ff6e1cf7224269c941a",
    "mindvideo_like": "7257a1e93fb6e7f2fc6a84bdfb8bb37fa0dc571b76643dd6bdfc6a82de8ebd93",
    "nishimoto2011": "67e18b2bd100c7295cb25e08b5319a7e7fff59312d55e054479dfb4f3fd9e061",
    "table14": "e6280bbd7991c322aff1cc884c818c184138ec64080f9193aec0848d5d7281aa",
    "table15": "9c9c425c117a7dc3df3bcd31979c692f681e9353c5477404f65e4907a1dce0e6",
    "table16": "14d976004d0174494241b92b976dd892c6cf67d5dd175e5182be203ac31022ed",
    "table2": "d893fd39507be65e53a7212c906172929b520b4afa1179739ab5693dfe4a0852",
    "table3": "066be8edbd1c38e95938fb54fee9f1e0992d1b10e583118eb1c81f6ccf8a15eb",
    "table4": "ddde36467d57b84736e978e299e466c062ee505acc7a517eaa015ec62d18ab18",
    "table5": "478227751338ffafbdf99039eb7b28b46f5a8d2cee508e1a75b56383544a7823",
    "two_data_sets": "617611d6e127287a889bd5e61c6a95d8abd2707ddeebc443b73d972db53dee79",
    "wen2018": "51e796fd5ee13ae911daf5aeaa368060a11b58ac1084b1d8a679b9dc5ae580fa",
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
