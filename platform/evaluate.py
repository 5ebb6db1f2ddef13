"""`python -m platform.evaluate FOLDER`: evaluates the videos of any system against the true ones."""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from platform.cli import (
    Answer,
    VerbParser,
    add_home,
    add_tracking,
    console,
    options_of,
    quiet_loading,
    run_verb,
    verb_parser,
)
from platform.errors import UserError
from platform.process_end import run_command
from platform.reporting.cluster_file import read_clusters
from platform.reporting.system_pairs import compare_systems, comparison_sheet, pair_json
from platform.tracking_uri import check_tracking
from storage.environment import without_secrets
from trainables.backbones import judge_digests, locate_judge
from trainables.judging.controls import TRUTH
from trainables.judging.paired_marks import few_clips_note
from trainables.judging.pairing import Failure, Pairing, PairingError, System, find_videos, pair_videos
from trainables.judging.protocols import DEFAULT, PROTOCOLS, Protocol, refusals, too_few_classes
from trainables.judging.score_pairs import PairJudge
from trainables.judging.score_tables import ScoreRow, Sheet, score_sheet, share_clips, summarise_scores, write_parquet
from trainables.judging.values import Value
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.metric import notes
from trainables.metrics.video import Network, Networks, Role
from trainables.pages.pairs_page import write_pairs_page
from trainables.usable_cores import usable_cores

_DESCRIPTION = """\
Evaluate the videos of any system. FOLDER holds GIF, MP4, folders of PNG, or .npy [frames, height, width, 3].

Videos that show truth and reconstruction side by side with black padding are cut; for others, --truth names the folder
of the true videos. A reconstruction and its truth have the same name. --system NAME=FOLDER adds further systems; all
are evaluated at one size and frame count, on the same clips, and compared clip by clip, with p-values."""
_EXIT_CODES = "Exit code: 0 done, 1 some file failed, 2 bad input and nothing was started, 130 interrupted (Ctrl-C)."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("evaluate", _DESCRIPTION, exit_codes=_EXIT_CODES)
    add = parser.add_argument
    add(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="the reconstructions of one system, which has the name of the folder",
    )
    add("--system", action="append", default=[], metavar="NAME=FOLDER", help="one more system; may be repeated")
    add("--truth", type=Path, metavar="FOLDER", help="the true videos, with the names of the reconstructions")
    clusters = "CSV with the columns name and cluster (or COLUMN): film, run or scene of each clip, the unit of tests"
    add("--clusters", metavar="FILE.csv[:COLUMN]", help=f"{clusters} (default: each clip is on its own)")
    named = "; ".join(f"{protocol.id} ({protocol.source})" for protocol in PROTOCOLS.values())
    add("--protocol", choices=[*PROTOCOLS], metavar="NAME", help=f"how videos are judged: {named}; default: {DEFAULT}")
    size = "frame size for all (default: the protocol's, else the smallest common native one)"
    add("--resolution", type=_size, metavar="N or HxW", help=size)
    count = "frames per clip for all (default: the protocol's, else the smallest common native count)"
    add("--frames", type=_count, metavar="N", help=count)
    add("--legacy-epe", action="store_true", help="also EPE on grey frames with the weights of the released code")
    for role, use in _SOURCES.items():
        add(_flag(role), metavar="SOURCE", help=use)
    add("--out", type=Path, metavar="FOLDER", help="folder for the results (default: HOME/evaluate/SYSTEMS)")
    add_home(parser)
    add_tracking(parser)
    add("--no-tracking", action="store_true", help="write no MLflow run")
    add("--allow-failures", action="store_true", help="exit with 0 although some files failed")
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    began, options = time.time(), options_of(arguments)
    pairing = _pairing(arguments)
    clusters = None if arguments.clusters is None else read_clusters(arguments.clusters, list(pairing.truths))
    if not arguments.no_tracking:
        check_tracking(options.tracking)
    folder = _output(arguments.out, pairing.systems, home=options.home)
    choice = _choice(pairing, arguments)
    console().print(choice, soft_wrap=True)
    networks, missing = _networks(arguments, frames=pairing.frames)
    protocol = _protocol(arguments)
    judge = PairJudge(
        pairing,
        networks,
        legacy_flow=arguments.legacy_epe,
        threads=usable_cores(),
        protocol=protocol,
    )
    _refuse(protocol, too_few_classes(protocol, judge.classes))
    progress = Console()
    values, failures = judge.run(lambda names: track(names, console=progress, disable=not progress.is_terminal))
    failures = [*pairing.failures, *missing, *failures]
    rows = summarise_scores(values, judge.metrics)
    table = score_sheet(
        rows,
        judge.metrics,
        title=f"Reconstructed video against its truth (protocol {protocol.id})",
        notes=(f"Protocol {protocol}.", choice, *judge.remarks, *_notes(values)),
    )
    pairs = compare_systems(values, judge.metrics, [system.name for system in pairing.systems], clusters=clusters)
    comparisons = (comparison_sheet(pairs),) if pairs else ()
    tables = (table, *comparisons)
    report = {
        "protocol": {**asdict(protocol), "networks": _digests(arguments, networks)},
        **_report(pairing, rows, failures, folder),
        "comparisons": [pair_json(each) for each in pairs],
    }
    _write(folder, tables, report)
    write_parquet(values, folder / "per_clip.parquet")
    write_pairs_page(judge, values, rows, failures=failures, comparisons=comparisons, folder=folder)
    if not arguments.no_tracking:
        _record(rows, report, arguments, began=began)
    code = 1 if failures and not arguments.allow_failures else 0
    return Answer(report, lambda console: _show(console, tables, failures, folder), code)


FILES = ("scores.md", "scores.tex", "scores.json", "per_clip.parquet", "page.html", "contact.png")
_SOURCES: Mapping[Role, str] = {
    "image_classifier": "for 2-way-I: phantom, a folder or a hub name such as google/vit-base-patch16-224",
    "video_classifier": "for 2-way-V: phantom, a folder or a hub name such as MCG-NJU/videomae-base-finetuned-kinetics",
    "vifi": "for the VIFI-score: phantom, imported ViFi-CLIP, or a CLIP model such as openai/clip-vit-base-patch16",
    "clip": "for CLIP-pcc: phantom or another CLIP model such as openai/clip-vit-base-patch32",
}


def _flag(role: str) -> str:
    return "--" + role.replace("_", "-")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return _count(height), _count(width if width != "" else height)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, but got {text!r}")
    return int(text)


def _folders(arguments: argparse.Namespace) -> list[tuple[str, Path]]:
    named = [] if arguments.folder is None else [(arguments.folder.resolve().name, arguments.folder)]
    for text in arguments.system:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise UserError(f"--system {text}: must be NAME=FOLDER")
        named.append((name, Path(folder)))
    names = [name for name, _ in named]
    if not named:
        raise UserError("no system is named; add FOLDER or --system NAME=FOLDER")
    if len(set(names)) < len(names) or TRUTH in names:
        raise UserError(f"systems must have different names, and none may be truth: {', '.join(names)}")
    return named


def _pairing(arguments: argparse.Namespace) -> Pairing:
    """Return the systems and the pairs of videos. Raises `UserError`."""
    named, protocol = _folders(arguments), _protocol(arguments)
    fixed = {"--resolution": protocol.side, "--frames": protocol.frames}
    for option, value in fixed.items():
        if value is not None and getattr(arguments, option.removeprefix("--")) is not None:
            raise UserError(f"{option}: {protocol.id} fixes it at {value}; leave the option out, or choose {DEFAULT}")
    size = (protocol.side, protocol.side) if protocol.side is not None else arguments.resolution
    frames = protocol.frames if protocol.frames is not None else arguments.frames
    try:
        systems = [find_videos(name, folder) for name, folder in named]
        truth = find_videos(TRUTH, arguments.truth) if arguments.truth is not None else None
        pairing = pair_videos(systems, truth, size=size, frames=frames)
    except PairingError as error:
        raise UserError(str(error)) from error
    _refuse(protocol, refusals(protocol, pairing, truth))
    return pairing


def _protocol(arguments: argparse.Namespace) -> Protocol:
    return PROTOCOLS[arguments.protocol if arguments.protocol is not None else DEFAULT]


def _refuse(protocol: Protocol, reasons: Iterable[str]) -> None:
    """Raise `UserError` if there is a reason against judging by `protocol`."""
    if listed := "; ".join(reasons):
        raise UserError(f"--protocol {protocol.id} cannot judge these videos: {listed}")


def _digests(arguments: argparse.Namespace, networks: Networks) -> dict[str, Any]:
    """Return the digest of the weights of each network that was loaded, by role."""
    return judge_digests({role: getattr(arguments, role) for role in networks.present})


def _networks(arguments: argparse.Namespace, *, frames: int) -> tuple[Networks, list[Failure]]:
    """Load the requested networks. One that cannot be loaded is a failure, and its metrics are left out."""
    loaded: dict[str, Network] = {}
    failures = []
    for key in _SOURCES:
        source = getattr(arguments, key)
        if source is not None:
            quiet_loading()
            from trainables.loop import pick_device  # torch, only if it is needed
            from trainables.metrics.networks import load_network

            try:
                locate_judge(key, source, field=_flag(key))
                if key == "clip" and source == arguments.vifi and "vifi" in loaded:
                    loaded[key] = loaded["vifi"]  # so that it runs once for both
                else:
                    loaded[key] = load_network(key, source, frames=frames, device=pick_device("auto"))
            except Exception as error:  # loaders raise various exceptions for damaged weights
                failures.append(
                    Failure("", "", source, f"{_flag(key)}: {str(error).removeprefix(_flag(key) + ': ')}", False)
                )
    return Networks(**loaded), failures


def _choice(pairing: Pairing, arguments: argparse.Namespace) -> str:
    height, width = pairing.size
    protocol = _protocol(arguments)
    size, count = (
        f"that of {protocol.id}"
        if fixed is not None
        else "as requested"
        if option is not None
        else "the smallest common native one"
        for fixed, option in ((protocol.side, arguments.resolution), (protocol.frames, arguments.frames))
    )
    native = "; ".join(f"{system.name} {_native(system)}" for system in pairing.systems)
    return f"All are evaluated at {height}x{width} ({size}), {pairing.frames} frames ({count}). Native: {native}."


def _native(system: System) -> str:
    if not system.clips:
        return "no readable video"
    (height, width), frames = system.native
    return f"{height}x{width}, {frames} frames, {len(system.clips)} videos"


def _notes(values: Sequence[Value]) -> Iterator[str]:
    """Yield the notes below the table."""
    yield "Means over clips, with 95% BCa bootstrap intervals over clips."
    if note := few_clips_note(len({value.clip for value in values})):
        yield note
    if share_clips(values):
        yield "All systems are evaluated on the same clips: those for which the metric is defined in every system."
    else:
        yield "THE SYSTEMS SHARE NO CLIP: their means are over different clips and cannot be compared."
    yield from notes(CLIP_METRICS.values())
    yield "First frame held: the system's own first frame as a static video, which has a good EPE."
    yield "Another clip's fMRI: each reconstruction against the truth of another, random clip: the chance level."


def _output(out: Path | None, systems: Sequence[System], *, home: Path) -> Path:
    """Create the folder for the results before anything is computed."""
    folder = out if out is not None else home / "evaluate" / "+".join(system.name for system in systems)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be created: {error}") from error
    return folder


def _report(pairing: Pairing, rows: Sequence[ScoreRow], failures: Sequence[Failure], folder: Path) -> dict[str, Any]:
    systems = {system.name: {"folder": str(system.folder), "native": _native(system)} for system in pairing.systems}
    sizes = {"height": pairing.size[0], "width": pairing.size[1], "frames": pairing.frames}
    results = {"rows": [asdict(row) for row in rows], "failures": [asdict(failure) for failure in failures]}
    return {"systems": systems, "chosen": sizes, **results, "out": str(folder)}


def _write(folder: Path, tables: Sequence[Sheet], report: Mapping[str, Any]) -> None:
    failures = [f"- {failure['file']}: {failure['reason']}" for failure in report["failures"]]
    listed = "\n".join(["", "## Failures", "", *failures, ""]) if failures else ""
    (folder / "scores.md").write_text("\n".join(table.markdown() for table in tables) + listed, encoding="utf-8")
    (folder / "scores.tex").write_text("\n".join(table.latex() for table in tables), encoding="utf-8")
    (folder / "scores.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _facts(arguments: argparse.Namespace, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the MLflow run."""
    networks = {role: getattr(arguments, role) for role in _SOURCES if getattr(arguments, role) is not None}
    folders = {name: system["folder"] for name, system in report["systems"].items()}
    truth = {} if arguments.truth is None else {"truth": str(arguments.truth)}
    protocol = {"protocol": report["protocol"]["id"]}
    return {
        **protocol,
        "folder": {**folders, **truth},
        **report["chosen"],
        "failures": len(report["failures"]),
        **networks,
    }


def _record(
    rows: Sequence[ScoreRow], report: Mapping[str, Any], arguments: argparse.Namespace, *, began: float
) -> None:
    """Write the MLflow run. The results are already stored as files, so an error is only a warning."""
    from platform.mlflow_view.evaluation_run import Evaluation, record_evaluation  # MLflow takes seconds to import

    options, files = options_of(arguments), [Path(report["out"]) / name for name in FILES]
    try:
        record_evaluation(
            Evaluation(rows, _facts(arguments, report), files, began, report["protocol"]["id"]),
            uri=options.tracking,
            home=options.home,
        )
    except Exception as error:
        warning = f"MLflow lacks this evaluation: {without_secrets(str(error))}"
        Console(stderr=True).print(warning, soft_wrap=True, highlight=False, markup=False)


def _show(console: Console, tables: Sequence[Sheet], failures: Sequence[Failure], folder: Path) -> None:
    for table in tables:
        console.print(table.terminal(width=console.width))
    for failure in failures:
        consequence = "still evaluated" if failure.evaluated else "not evaluated"
        text = f"{failure.file}: {failure.reason} ({consequence})"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    if failures:
        console.print(f"{len(failures)} failure(s), see above; with --allow-failures the exit code is 0.")
    console.print(f"Results are in {folder}: {', '.join(FILES)}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    run_command(main)
