"""References to docs/mind-animator.md lead somewhere, and what that document says of configs and designs is true."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from trainables.config.data import FolderConfig
from trainables.config.presets import RELEASED_CODE
from trainables.config.trial import TrialConfig, flatten
from trainables.metrics.registry import METRICS
from trainables.systems import ABOUT

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "mind-animator.md"
FOLDERS = ("storage", "trainables", "platform", "benchmarks", "search_spaces", "ablations", "deploy", "docs", "tests")
KINDS = {".py", ".yaml", ".yml", ".md"}

ITEM = r"[A-Z](?:\.[0-9]+|[0-9]{2,})\b"
REFERENCE = re.compile(rf"mind-animator\.md`? ({ITEM}(?:(?:,? and |, ){ITEM})*)")
LINK = re.compile(r"\[[^\]]*\]\([^)]*mind-animator\.md#([\w-]+)\)")
BARE = re.compile(r"\b[Ss]pec(?:ification)? [A-GX]\b(?:\.[0-9]+)?|\b[Ss]pec(?:ification)? [A-GX][0-9]+|\bB[0-9]{2}\b")


def anchors(document: str) -> list[str]:
    return re.findall(r'<a id="([^"]+)"></a>', document)


def anchor_of(item: str) -> str:
    return item.lower().replace(".", "-")


def wrong_references(text: str, known: set[str]) -> list[str]:
    """Return what is wrong with the references to the document in `text`, in words."""
    one_line = re.sub(r"\s*\n\s*(?:#\s*)?", " ", text)  # a comment may go on in the next line
    items = [item for listed in REFERENCE.findall(one_line) for item in re.findall(ITEM, listed)]
    targets = {item: anchor_of(item) for item in items} | {f"#{target}": target for target in LINK.findall(one_line)}
    dead = [f"{name} has no anchor in docs/mind-animator.md" for name, target in targets.items() if target not in known]
    bare = BARE.findall(LINK.sub("", REFERENCE.sub("", one_line)))
    return dead + [f'"{found}" does not say where: write "mind-animator.md" before the item' for found in bare]


def files() -> Iterator[Path]:
    """Yield all code, YAML and Markdown but the document itself and this file, whose examples are wrong."""
    for start in (ROOT, *(ROOT / folder for folder in FOLDERS)):
        for path in sorted(start.glob("*") if start == ROOT else start.rglob("*")):
            if path.suffix in KINDS and path.is_file() and path not in (DOCUMENT, Path(__file__).resolve()):
                yield path


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("as in mind-animator.md B31, and so on", 0),
        ("mind-animator.md A.3, B31 and A.3", 0),
        ("[B31](docs/mind-animator.md#b31)", 0),
        ("the specification of a trial, its spec and B1", 0),
        ("mind-animator.md B99", 1),
        ("mind-animator.md A.3, B98 and B99", 2),
        ("mind-animator.md Z.1", 1),
        ("# in mind-animator.md\n# B99", 1),
        ("[B99](docs/mind-animator.md#b99)", 1),
        ("no correlation (spec B31)", 1),
        ("(spec C), (spec A.5)", 2),
        ("# is not known (spec\n# A.5)", 1),
        ("Spec X13", 1),
        ("released code, B31", 1),
    ],
)
def test_wrong_references_are_found(text: str, complaints: int) -> None:
    assert len(wrong_references(text, {"b31", "a-3"})) == complaints


def test_every_reference_has_its_anchor() -> None:
    known = set(anchors(DOCUMENT.read_text(encoding="utf-8")))
    wrong = {
        str(path.relative_to(ROOT)): complaints
        for path in files()
        if (complaints := wrong_references(path.read_text(encoding="utf-8"), known))
    }
    assert wrong == {}


def test_the_references_are_seen() -> None:
    """Guards against a pattern or a list of folders that finds nothing."""
    referring = [path for path in files() if REFERENCE.search(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(ROOT).parts[0] for path in referring} >= {"trainables", "platform", "ablations", "tests"}


def test_anchors_of_the_document_are_unique_and_its_links_lead_somewhere() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    names = anchors(document)
    assert len(names) == len(set(names))
    targets = re.findall(r"\]\(([^)]+)\)", document)
    assert {target[1:] for target in targets if target.startswith("#")} <= set(names)
    missing = [target for target in targets if target[0] != "#" and not (DOCUMENT.parent / target).is_file()]
    assert missing == []


def test_documents_of_models_link_every_design_and_every_published_table() -> None:
    documents = (DOCUMENT, *(ROOT / "docs" / "systems").glob("*.md"))
    linked = {
        (path.parent / target).resolve()
        for path in documents
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    }
    designs = {*(ROOT / "ablations").glob("*.yaml"), *(ROOT / "ablations" / "published").glob("*.csv")}
    assert {path.name for path in designs - linked} == set()


def test_every_system_has_its_page_its_search_and_its_questions() -> None:
    for system in set(ABOUT) - {"mindanimator", "given"}:
        page = ROOT / "docs" / "systems" / f"{system}.md"
        text = page.read_text(encoding="utf-8")
        assert f"(../../search_spaces/{system}.yaml)" in text, system
        assert f"(../../ablations/{system}.yaml)" in text, system
        search = yaml.safe_load((ROOT / "search_spaces" / f"{system}.yaml").read_text(encoding="utf-8"))
        assert search["trials"] == 12, f"{system}: the same search budget for all"


def test_every_field_that_the_document_names_exists() -> None:
    config = TrialConfig()
    fields = {*flatten(config.model_dump()), *(f"dataset.{name}" for name in FolderConfig.model_fields)}
    metrics = {*METRICS, *(f"{metric.stage}.test_{name.partition('.')[2]}" for name, metric in METRICS.items())}
    sections = "|".join(TrialConfig.model_fields)
    named = re.findall(rf"`((?:{sections})\.[a-z0-9_.]+)", DOCUMENT.read_text(encoding="utf-8"))
    assert len(named) > 50
    assert set(named) - fields - metrics == set()


def test_every_setting_of_the_released_code_is_explained() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    section = document.partition("### B.3 ")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z_]+\.[a-z0-9_.]+)`", section)) == set(RELEASED_CODE)
