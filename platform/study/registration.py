"""Pre-registration: the design is frozen and hashed in the store before the first trial; what comes later is said."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from platform.errors import UserError
from platform.study.design import Design
from storage.base import Store
from storage.errors import IntegrityError
from storage.studies import load_amendments, load_definition, save_amendment
from trainables.identity import digest

KIND = "ablation"
"""Under `kind` in the definition of a study that is no sweep."""


@dataclass(frozen=True)
class Registration:
    """What was fixed before the first trial."""

    design: Design
    baseline: Mapping[str, str]
    """Stage to the identity of its run in the baseline: other code, defaults or data make another ablation."""
    sha256: str
    """Of all of it."""


@dataclass(frozen=True)
class Amendment:
    """Seeds that were added when results were known already."""

    seeds_before: int
    seeds: int
    """How many there are since."""
    time: float
    """Seconds since 1970."""

    @property
    def text(self) -> str:
        """What happened, in words."""
        return f"seeds {self.seeds_before} -> {self.seeds}"


def frozen(design: Design, baseline: Mapping[str, str]) -> dict[str, Any]:
    """Return what is kept of a design, with its hash, as JSON."""
    body = {"design": design.model_dump(mode="json"), "baseline": dict(baseline)}
    return {"kind": KIND, **body, "sha256": digest(body, length=64)}


def registered(store: Store, study: str) -> tuple[Registration, tuple[Amendment, ...]]:
    """Return what is on record for ablation `study`.

    Raises:
        storage.errors.NotFoundError: There is no such study.
        storage.errors.IntegrityError: The design does not match its hash.
        ValueError: It is a sweep.
        UserError: It was made with a version that could run fractions of a factorial.
    """
    definition = load_definition(store, study)["definition"]
    if definition.get("kind") != KIND:
        raise ValueError(f"{study} is a sweep, not an ablation")
    body = {name: definition[name] for name in ("design", "baseline")}
    if digest(body, length=64) != definition["sha256"]:
        raise IntegrityError(f"the design of {study} does not match the hash that it was registered with")
    _refuse_fraction(study, body["design"])
    registration = Registration(Design.model_validate(body["design"]), body["baseline"], definition["sha256"])
    return registration, tuple(Amendment(**value) for value in load_amendments(store, study))


def _refuse_fraction(study: str, design: Mapping[str, Any]) -> None:
    factorial = design.get("factorial")
    if factorial is not None and factorial.get("generators"):
        generators = ", ".join(factorial["generators"])
        raise UserError(
            f"{study} cannot be read: it was made with a version of Mindsweep that could run fractions of a factorial "
            f"(generators: {generators}); read it with that version, or begin a full factorial with --fork"
        )


def seeds_of(design: Design, amendments: tuple[Amendment, ...]) -> int:
    """Return how many seeds there are by now."""
    return amendments[-1].seeds if amendments else design.seeds


def amend(store: Store, study: str, amendment: Amendment) -> None:
    """Put an amendment on record. Raises `storage.errors.ExistsError` if another driver was faster."""
    save_amendment(store, study, len(load_amendments(store, study)) + 1, asdict(amendment))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what changed between two frozen designs, as a diff of YAML; empty if nothing."""
    old, new = (yaml.safe_dump(_said(value), allow_unicode=True).splitlines() for value in (before, after))
    return "\n".join(difflib.unified_diff(old, new, "registered", "asked for", n=1, lineterm=""))


def _said(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in ("design", "baseline") if name in value}
