"""Pre-registration: the design is hashed and stored before the first trial. Later changes are recorded amendments."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from platform.errors import UserError
from platform.study.design import Design
from platform.study.search_origin import SearchOrigin
from storage.base import Store
from storage.errors import IntegrityError
from storage.studies import load_amendments, load_definition, save_amendment
from storage.typed import check_fields
from trainables.identity import digest, identity_fields

KIND = "ablation"
"""The value of `kind` in the definition of an ablation. The definition of a sweep has no such key."""


@dataclass(frozen=True)
class Registration:
    """The design as it was registered before the first trial."""

    design: Design
    baseline: Mapping[str, str]
    """Stage to the identity of its run in the baseline: it changes with code, defaults and data."""
    sha256: str
    """The hash of design, baseline and plug-ins."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Name of each plug-in to its SHA-256."""
    search: SearchOrigin | None = None
    """The sweep that chose the conditions."""


@dataclass(frozen=True)
class Amendment:
    """Seeds that were added after results were known."""

    seeds_before: int
    seeds: int
    """The number of seeds after the amendment."""
    time: float
    """Seconds since 1970."""

    @property
    def text(self) -> str:
        """The amendment as text."""
        return f"seeds {self.seeds_before} -> {self.seeds}"


_BODY = ("design", "baseline", "plugins", "search")
"""The keys of a definition that its hash covers; `plugins` and `search` are absent where there are none."""


def frozen(design: Design, baseline: Mapping[str, str], added: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the registered definition of a design, with its hash, as JSON. `added` is hashed, too."""
    body = {
        "design": identity_fields(design),
        "baseline": dict(baseline),
        **({} if added is None else added),
    }
    return {"kind": KIND, **body, "sha256": digest(body, length=64)}


def registered(store: Store, study: str) -> tuple[Registration, tuple[Amendment, ...]]:
    """Return the registration and the amendments of ablation `study`.

    Raises:
        storage.errors.NotFoundError: There is no such study.
        storage.errors.IntegrityError: The design does not match its hash.
        ValueError: It is a sweep.
        UserError: It is a fractional factorial, which only earlier versions could run.
    """
    definition = load_definition(store, study)["definition"]
    if definition.get("kind") != KIND:
        raise ValueError(f"{study} is a sweep, not an ablation")
    body = _design_part(definition)
    if digest(body, length=64) != definition["sha256"]:
        raise IntegrityError(f"the design of {study} does not match the hash that it was registered with")
    _refuse_fraction(study, body["design"])
    design, plugins = Design.model_validate(body["design"]), body.get("plugins", {})
    search = SearchOrigin.model_validate(body["search"]) if "search" in body else None
    registration = Registration(design, body["baseline"], definition["sha256"], plugins, search)
    return registration, tuple(map(_amendment, load_amendments(store, study)))


def _amendment(value: Mapping[str, Any]) -> Amendment:
    check_fields(Amendment, value)
    return Amendment(**value)


def _refuse_fraction(study: str, design: Mapping[str, Any]) -> None:
    factorial = design.get("factorial")
    if factorial is not None and factorial.get("generators"):
        generators = ", ".join(factorial["generators"])
        raise UserError(
            f"{study} cannot be read: it is a fractional factorial (generators: {generators}), which this version of "
            "Mindsweep does not support; read it with the version that ran it, or run a full factorial with --fork"
        )


def seeds_of(design: Design, amendments: tuple[Amendment, ...]) -> int:
    """Return the number of seeds, amendments included."""
    return amendments[-1].seeds if amendments else design.seeds


def amend(store: Store, study: str, amendment: Amendment) -> None:
    """Record an amendment. Raises `storage.errors.ExistsError` if another driver recorded one at the same time."""
    save_amendment(store, study, len(load_amendments(store, study)) + 1, asdict(amendment))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the changes between two registered designs as a diff of YAML; empty if they are equal."""
    old, new = (yaml.safe_dump(_design_part(value), allow_unicode=True).splitlines() for value in (before, after))
    return "\n".join(difflib.unified_diff(old, new, "registered", "asked for", n=1, lineterm=""))


def _design_part(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in _BODY if name in value}
