"""Every command in the documents can be given: its options exist, and so do the files and targets that it names.

Commands that run a study are planned, with the documents' placeholders replaced by a small data set.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform.__main__ import VERBS
from platform.cli import VerbParser
from platform.errors import UserError
from platform.model_options import model_from
from platform.prepare import main as prepare
from storage import gc, verify
from tests.trainables.prepared.labs import names, values, write_clips, write_csv
from trainables.config.base import Config
from trainables.preparation.caption_options import CaptionOptions
from trainables.preparation.options import CutOptions
from trainables.preparation.readers import READERS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
COMMAND = re.compile(r"(?:^    |^|`|; )((?:python -m|make|datalad) [^`\n]+)", re.MULTILINE)
FILE = re.compile(r"(?:search_spaces|ablations|docs|deploy)/[\w./-]+\w")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_0-9]*(?:\.dlabel\.nii|\.csv:film|/TRIAL)?")
OTHER_MODULES = {
    "benchmarks", "tests", "trainables.backbones.evaluate", "trainables.backbones.train", "platform.X", "platform",
    "pytest",
}  # fmt: skip
"""Programs without a parser that this test could ask; that they exist is tested."""
OTHER_OPTIONS = {"--cov", "--hypothesis-profile", "--no-deps", "--strict"}
"""Options that documents name and that are of other programs."""


@dataclass(frozen=True)
class Command:
    """A command of a document."""

    document: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def module(self) -> str:
        return self.words[2]


def commands(text: str, document: str = "") -> list[Command]:
    """Return the commands in code blocks, and those in backticks that are whole (with a verb)."""
    joined = re.sub(r"`([^`\n]*)\n([^`\n]*)`", r"`\1 \2`", text)  # a line may end within backticks
    found = [match.rstrip(" .,:;)") for match in COMMAND.findall(joined)]
    return [Command(document, each) for each in dict.fromkeys(found)]


def all_commands() -> Iterator[Command]:
    for path in DOCUMENTS:
        yield from commands(path.read_text(encoding="utf-8"), path.name)


ALL = [*all_commands()]
OF_VERBS = [each for each in ALL if each.text.startswith("python -m platform.") and each.module != "platform.X"]


def read(command: Command, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what the parser of the command's verb makes of it. Raises `UserError` for what it refuses."""
    verb, arguments = command.module.partition(".")[2], command.words[3:]
    module = import_module(f"platform.{verb}")

    def parsed(parser: VerbParser, call: Callable[..., Any], words: Any) -> Any:
        return parser.parse_args(words)

    monkeypatch.setattr(module, "run_verb", parsed)
    values = module.main(arguments)
    if verb == "prepare" and values.reader in READERS:
        model_from(values, READERS[values.reader].reader.Settings)
    return values


def test_the_commands_are_seen() -> None:
    """Guards against a pattern that finds nothing."""
    assert len(OF_VERBS) > 60
    assert {f"platform.{verb}" for verb in VERBS if verb != "ui"} <= {each.module for each in OF_VERBS}
    assert {each.document for each in ALL} >= {"tutorial.md", "data-sets.md", "README.md", "cc2017.md", "bmd.md"}
    text = "say `python -m platform.sweep FILE\n--inline`, or\n\n    make sweep    # now\n"
    assert [each.text for each in commands(text)] == ["python -m platform.sweep FILE --inline", "make sweep    # now"]


@pytest.mark.parametrize("command", OF_VERBS, ids=lambda command: f"{command.document}: {command.text[:60]}")
def test_options_exist_and_files_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [name for name in FILE.findall(command.text) if not (ROOT / name).exists()]
    assert missing == []
    only_named = len(command.words) == 3 or (len(command.words) == 4 and command.words[3].islower())
    if "--help" not in command.words and not only_named:
        read(command, monkeypatch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("python -m platform.prepare cc2017 FOLDER --out DIR --select 4500", "--select"),
        ("python -m platform.prepare hcp FOLDER --out DIR --montage never", "montage"),
        ("python -m platform.sweep FILE --no-such", "--no-such"),
    ],
)
def test_a_command_that_cannot_be_given_is_found(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=message):
        read(Command("", text), monkeypatch)


def test_targets_and_other_modules_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for command in ALL:
        if command.words[0] == "make":
            assert set(re.findall(r"[a-z-]+", command.words[1])) <= targets, command
        elif command.words[0] == "python" and command not in OF_VERBS:
            name = command.module
            assert name in (verify.__name__, gc.__name__) or name.startswith(tuple(OTHER_MODULES)), command
            if name not in ("platform.X", "pytest"):
                path = ROOT / name.replace(".", "/")
                assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), command


def options_in_text(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def options_of_code() -> set[str]:
    """Return every option of a verb, of a reader, and of the two programs of the store."""
    found = set(OTHER_OPTIONS)
    for folder in ("platform", "storage", "benchmarks", "tests/chaos", "trainables/backbones"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r'"(--[a-z][a-z-]+)', path.read_text(encoding="utf-8")))
    models: list[type[Config]] = [CaptionOptions, CutOptions, *(kind.reader.Settings for kind in READERS.values())]
    for settings in models:
        for name, field in settings.model_fields.items():
            option = name.replace("_", "-")
            found |= {f"--{option}", f"--no-{option}", f"--{option.removesuffix('s')}"}
            assert field.description, name
    return found


def test_every_option_that_a_document_names_exists() -> None:
    known = options_of_code()
    wrong = {
        path.name: sorted(unknown)
        for path in DOCUMENTS
        if (unknown := options_in_text(path.read_text(encoding="utf-8")) - known)
    }
    assert wrong == {}
    assert options_in_text("with `--select 4500`") - known == {"--select"}


def test_a_table_that_speaks_of_an_option_names_it() -> None:
    """An option without its name cannot be checked: one that does not exist was named so."""
    cells = re.findall(r"\| ([^|\n]*\boptions? of `platform[^|\n]*)", "\n".join(p.read_text() for p in DOCUMENTS))
    assert [cell for cell in cells if "--" not in cell] == []


LINK = re.compile(r"\]\(([^)#\s]+)(#[\w-]+)?\)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = [target for target, _ in LINK.findall(path.read_text(encoding="utf-8"))]
    assert [each for each in targets if "://" not in each and not (path.parent / each).exists()] == []


def test_every_document_is_listed_by_task() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in index] == ["README.md"]


def test_every_message_is_one_of_the_code() -> None:
    text = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    messages = [
        message
        for cell in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
        for message in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(messages) > 20
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("platform", "trainables", "storage")
        for path in (ROOT / room).rglob("*.py")
    )
    assert [message for message in messages if message not in code] == []


def prepared(folder: Path) -> Path:
    """Return a prepared data set of 160 clips that are all alone, 16 of them for the test."""
    count, lab, data = 160, folder / "lab", folder / "data"
    write_clips(lab / "clips", count)
    (lab / "captions.json").write_text(json.dumps({name: f"scene {name}" for name in names(count)}))
    (lab / "sub-01").mkdir()
    np.save(lab / "sub-01" / "rows.npy", values(count, 0))
    write_csv(lab / "sub-01" / "rows.csv", {"clip_id": names(count)})
    size = ["--frames", "4", "--resolution", "32", "--split-by", "clip"]
    assert prepare(["rows", str(lab), "--out", str(data), *size]) == 0
    return data


@pytest.mark.long
def test_studies_of_the_documents_can_be_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan each sweep and ablation of a file once, with the options that the documents give."""
    data = prepared(tmp_path)
    networks = ("backbones.", "preset=paper", "=SD15", "=CLIP")
    planned = set()
    for command in OF_VERBS:
        words = command.words[3:]
        if command.module not in ("platform.sweep", "platform.ablate") or not words or "/" not in words[0]:
            continue
        if any(part in command.text for part in (*networks, "--help", "--power", "--add-seeds", "FOLDER/")):
            continue
        if any(part in command.text for part in ("s3://", "--address", "kind=folder")):
            continue
        words = [word for word in words if word not in ("--dry-run", "--inline", "--retry-failed")]
        given = tuple(word.replace("=DIR", f"={data}").replace("=DATA", f"={data}") for word in words)
        if given in planned or PLACEHOLDER.fullmatch(words[0]) is not None:
            continue
        planned.add(given)
        code = import_module(command.module).main([*given, "--dry-run", "--home", str(tmp_path / "home")])
        assert code == 0, (command, capsys.readouterr().err)
    assert len(planned) > 8
