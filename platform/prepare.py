"""`python -m platform.prepare READER FOLDER --out DIR`: makes a prepared data set; `... validate DIR` checks one."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.errors import StudyError, UserError
from platform.model_options import add_model_options, model_from
from platform.options import open_readable
from platform.process_end import run_command
from platform.screen.step_progress import StepProgress
from trainables.datasets.errors import DataReport, DatasetError, DataVerdict
from trainables.preparation.options import CutOptions, ReaderOptions
from trainables.preparation.readers import READERS, PreparationReader, preparation_reader

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from platform.figures.subject_maps import SubjectMaps
    from trainables.datasets.prepared.parts import RunParts
    from trainables.datasets.prepared.read import PreparedSet, PreparedSubject
    from trainables.datasets.prepared.source import DataSource

_DESCRIPTION = """\
Make a checked, described data set of what a lab has, for dataset.kind: prepared (docs/data-format.md).

READER says what FOLDER holds; `python -m platform.prepare READER --help` lists its options. A command that was
interrupted continues at the last finished part when it is given again. `validate DIR` checks a data set. `clips VIDEO`
cuts videos into clips for dataset.kind: folder, `captions` describes clips by BLIP-2. `upload DIR URI` puts a data set
into a store. `maps DIR` writes maps of its voxels for brain viewers."""
_EXIT_CODES = (
    "Exit code: 0 done, 1 a subject was left out, the data set has errors, or it could not be finished and parts are "
    "kept, 2 bad input and nothing was written, 130 interrupted (Ctrl-C)."
)
_CONTINUES = "the same command continues with what is finished"
_CLIPS = "cut videos into clips for a data set of kind folder"
_CLIPS_DESCRIPTION = """\
Cut videos into short clips for a data set of kind folder. FOLDER gets clips/ with a folder of PNG per clip, and
captions.json.

A caption is the name of the video and a description of its pixels: brightness, colour and motion. Replace it by a
better one if you can. VIDEO may also be lavfi:SOURCE, a moving pattern that FFmpeg generates, such as
lavfi:mandelbrot=size=128x128."""
_CAPTIONS = "describe clips by BLIP-2, as the paper does"
_CAPTIONS_DESCRIPTION = """\
Describe clips by BLIP-2 and write captions for --caption of a reader: JSON from the clip's name to its text. SOURCE is
a prepared data set (prepare it first with any captions, then again with these), or a folder of clips. A command that
was interrupted continues when it is given again."""
_RAY = "prepare shards of clips and recordings at the same time, on a Ray cluster that is started on this machine"
_ADDRESS = "the same on the Ray cluster at ADDRESS (auto or HOST:PORT), whose nodes all see FOLDER and DIR"
_UPLOAD = "put a prepared data set into a store, from where each machine fetches it once"
_MAPS = "write noise ceilings, importance and encoding accuracy of voxels as CIFTI or NIfTI, and as pictures"
_IMPORTANCE = (
    "a trial whose stage importance is stored, or the voxels.parquet of that stage, then with --subject: its maps are "
    "written, too"
)
_ENCODING = "the same for the stage encoding_accuracy"
_LIKE = "a volume with the grid of the voxels, such as the mask of the bold; needed for NIfTI"
_VALIDATE = "check a prepared data set against every rule, and say what to do about each finding"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    return run_verb(_parser(arguments), _answer, arguments)


def _parser(arguments: Sequence[str]) -> VerbParser:
    """Return the parser; only the reader that `words` name is imported."""
    parser = verb_parser("prepare", _DESCRIPTION, exit_codes=_EXIT_CODES)
    verbs = parser.add_subparsers(dest="reader", metavar="READER", required=True)
    for kind in READERS.values():
        options = _sub_parser(verbs, kind.name, kind.description)
        out = "the new or empty folder of the data set"
        options.add_argument("--out", type=Path, required=True, metavar="DIR", help=out)
        options.add_argument("--ray", action="store_true", help=_RAY)
        options.add_argument("--address", metavar="ADDRESS", help=_ADDRESS)
        if kind.name in arguments:
            add_model_options(options, kind.reader.Settings)
    validate = _sub_parser(verbs, "validate", _VALIDATE)
    validate.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    again = "read everything, even if no file has changed since the last check"
    validate.add_argument("--again", action="store_true", help=again)
    upload = _sub_parser(verbs, "upload", _UPLOAD)
    upload.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    upload.add_argument("uri", metavar="URI", help="where to: s3://bucket/prefix or file:///folder, for dataset.path")
    maps = _sub_parser(verbs, "maps", _MAPS)
    maps.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    maps.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to; files there are replaced")
    maps.add_argument("--subject", action="append", default=[], metavar="SUBJECT", help="this one only (default: all)")
    maps.add_argument("--importance", metavar="STUDY/TRIAL|FILE", help=_IMPORTANCE)
    maps.add_argument("--encoding", metavar="STUDY/TRIAL|FILE", help=_ENCODING)
    maps.add_argument("--like", type=Path, metavar="FILE", help=_LIKE)
    add_store(maps)
    captions = _sub_parser(verbs, "captions", _CAPTIONS)
    captions.description = _CAPTIONS_DESCRIPTION
    captions.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write, ending in .json")
    if "captions" in arguments:
        from trainables.preparation.caption_options import CaptionOptions

        add_model_options(captions, CaptionOptions)
    clips = _sub_parser(verbs, "clips", _CLIPS)
    clips.description = _CLIPS_DESCRIPTION
    clips.add_argument("videos", nargs="+", metavar="VIDEO", help="a file, or lavfi:SOURCE")
    clips.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new or empty folder")
    add_model_options(clips, CutOptions)
    return parser


def _sub_parser(verbs: "argparse._SubParsersAction[VerbParser]", name: str, purpose: str) -> VerbParser:
    sub_parser = verb_parser(f"prepare {name}", f"{purpose[0].upper()}{purpose[1:]}.", exit_codes=_EXIT_CODES)
    return verbs.add_parser(
        name,
        help=purpose,
        description=sub_parser.description,
        epilog=sub_parser.epilog,
        prog=sub_parser.prog,
        formatter_class=sub_parser.formatter_class,
        parents=[sub_parser],
        add_help=False,
        allow_abbrev=False,
    )


def _answer(arguments: argparse.Namespace) -> Answer:
    match arguments.reader:
        case "validate":
            return _validated(arguments)
        case "upload":
            return _uploaded(arguments)
        case "maps":
            return _mapped(arguments)
        case "clips":
            return _cut(arguments)
        case "captions":
            return _captioned(arguments)
    return _prepared(arguments)


def _cut(arguments: argparse.Namespace) -> Answer:
    from trainables.preparation.cut_videos import cut_videos

    options = model_from(arguments, CutOptions)
    try:
        captions = cut_videos(arguments.videos, arguments.out, options)
    except DatasetError as error:
        raise UserError(str(error)) from error
    value = {"folder": str(arguments.out), "clips": len(captions)}
    return Answer(value, f"{len(captions)} clips in {arguments.out}")


def _captioned(arguments: argparse.Namespace) -> Answer:
    from trainables.preparation.caption_options import CaptionOptions

    options = model_from(arguments, CaptionOptions)
    if arguments.out.suffix != ".json" or not arguments.out.absolute().parent.is_dir():
        raise UserError(f"--out: {arguments.out} must be a file ending in .json in a folder that exists")
    from trainables.preparation.captioning import write_captions
    from trainables.preparation.clips_to_describe import open_clips_to_describe

    try:
        clips = open_clips_to_describe(options.source, frames=options.frames)
        with StepProgress(_stderr()) as progress:
            captions = write_captions(
                clips.names, clips.read, arguments.out, options, lambda new, total: progress("clips", new, total)
            )
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_CONTINUES) from stop
    except (DatasetError, ValueError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise StudyError(f"{error}\n{_CONTINUES}") from error
    return Answer({"file": str(arguments.out), "captions": len(captions)}, f"{len(captions)} captions: {arguments.out}")


def _prepared(arguments: argparse.Namespace) -> Answer:
    from trainables.preparation.prepare import Making, UnfinishedError, prepare, summary

    reader = preparation_reader(arguments.reader)
    options = model_from(arguments, reader.Settings)
    try:
        with _run_parts(arguments) as run_parts, StepProgress(_stderr()) as progress:
            source = _opened(reader, options)
            result = prepare(source, options, arguments.out.absolute(), making=Making(progress, run_parts))
    except UnfinishedError as error:
        raise StudyError(str(error)) from error
    except DatasetError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise StudyError(f"{error}\n{_CONTINUES}") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_CONTINUES) from stop
    about = result.description
    text = f"{about.clips.count} clips, {len(about.subjects)} subject(s), split by {about.split_by}: {result.folder}"
    value = {**summary(result)}
    return Answer(value, _lines(result.report, text), exit_code=1 if result.report.errors else 0)


def _run_parts(arguments: argparse.Namespace) -> "AbstractContextManager[RunParts]":
    if not arguments.ray and arguments.address is None:
        from trainables.datasets.prepared.parts import parts_here

        return nullcontext(parts_here)
    from platform.run.ray.data_parts import parts_on_ray  # Ray takes seconds to import

    return parts_on_ray(arguments.address)


def _opened(reader: PreparationReader, options: ReaderOptions) -> "DataSource":
    try:
        return reader.open_source(options)
    except OSError as error:  # nothing has been written
        raise UserError(str(error)) from error


def _validated(arguments: argparse.Namespace) -> Answer:
    folder = arguments.folder.absolute()
    verdict = _verdict(folder, again=arguments.again)
    report = verdict.report
    counts = f"{len(report.errors)} error(s), {len(report.warnings)} warning(s): {folder}"
    value = {"folder": str(folder), "digest": verdict.digest, "problems": [asdict(each) for each in report.problems]}
    return Answer(value, _lines(report, counts), exit_code=1 if report.errors else 0)


def _verdict(folder: Path, *, again: bool = False) -> DataVerdict:
    from trainables.datasets.prepared.description import read_description
    from trainables.datasets.prepared.validate import bytes_to_read, checked_before, validate

    try:
        read_description(folder)
        verdict = None if again else checked_before(folder)
        if verdict is None:
            total = sum(bytes_to_read(folder))
            with StepProgress(_stderr()) as progress:
                verdict = validate(folder, lambda count: progress("bytes", count, total))
    except DatasetError as error:
        raise UserError(str(error)) from error
    return verdict


def _mapped(arguments: argparse.Namespace) -> Answer:
    from trainables.datasets.prepared.read import open_prepared

    try:
        data = open_prepared(arguments.folder.absolute())
        with ExitStack() as stack:
            found = [
                (stage, _voxel_file(named, stage, data, arguments, stack))
                for stage, named in (("importance", arguments.importance), ("encoding_accuracy", arguments.encoding))
                if named is not None
            ]
            files, note = _maps(data, found, arguments)
    except DatasetError as error:
        raise UserError(str(error)) from error
    names = [str(path) for path in files]
    return Answer({"folder": str(arguments.out), "files": names, "note": note}, "\n".join([*names, note]).rstrip())


@dataclass(frozen=True)
class _StageVoxels:
    """The `voxels.parquet` of a stage, and its subject if it is of a recorded trial."""

    file: Path
    subject: str | None


def _voxel_file(
    named: str, stage: str, data: "PreparedSet", arguments: argparse.Namespace, stack: ExitStack
) -> _StageVoxels:
    """Return the file, or that of a recorded trial; it is there until `stack` ends."""
    from platform.reproduction.voxel_files import MapStage, voxel_file

    if named.endswith(".parquet"):
        return _StageVoxels(Path(named), None)
    found = stack.enter_context(voxel_file(open_readable(options_of(arguments)), named, cast("MapStage", stage)))
    names = [subject.name for subject in data.subjects]
    if found.subject >= len(names):
        raise UserError(
            f"{named}: its subject has number {found.subject}, but {data.folder} has {len(names)}; name the trial's "
            "own data set"
        )
    return _StageVoxels(found.file, names[found.subject])


def _maps(
    data: "PreparedSet", found: Sequence[tuple[str, _StageVoxels]], arguments: argparse.Namespace
) -> "tuple[list[Path], str]":
    """Write the maps of some subjects, or of all; return the files, and why no surfaces are drawn."""
    from platform.figures.subject_maps import write_subject_maps
    from trainables.preparation.brain_maps import chosen_subjects

    of_trials = sorted({each.subject for _, each in found if each.subject is not None})
    if len(of_trials) > 1:
        raise UserError(f"--importance and --encoding: are of {' and '.join(of_trials)}; name trials of one subject")
    asked = of_trials if of_trials else arguments.subject
    names = chosen_subjects(asked, [subject.name for subject in data.subjects])
    if found and len(names) > 1:
        option = "--importance" if found[0][0] == "importance" else "--encoding"
        raise UserError(f"{option}: is of one subject; name it with --subject: {', '.join(names)}")
    maps = [_maps_of(subject, found) for subject in data.subjects if subject.name in names]
    return write_subject_maps(maps, data.description.space, arguments.out, arguments.like)


def _maps_of(subject: "PreparedSubject", found: Sequence[tuple[str, _StageVoxels]]) -> "SubjectMaps":
    from platform.figures.subject_maps import SubjectMaps
    from trainables.preparation.brain_maps import encoding_maps, importance_maps, reliability_maps

    maps = [*reliability_maps(subject.voxels)]
    for stage, each in found:
        read = importance_maps if stage == "importance" else encoding_maps
        maps += read(each.file, len(subject.voxels))
    if not maps:
        raise UserError(
            f"{subject.name}: no clip was shown twice, so there is no noise ceiling; give --importance or --encoding"
        )
    return SubjectMaps(subject.name, maps, subject.voxels)


def _uploaded(arguments: argparse.Namespace) -> Answer:
    from storage.errors import StoreError
    from trainables.datasets.prepared.stored_set import bytes_to_send, upload

    folder = arguments.folder.absolute()
    _check_target(arguments.uri)
    try:
        _verdict(folder).report.raise_for_errors()
        _check_writable(arguments.uri)
        total = bytes_to_send(folder)
        with StepProgress(_stderr()) as progress:
            digest = upload(folder, arguments.uri, lambda count: progress("bytes", count, total))
    except ValueError as error:  # of the data set
        raise UserError(str(error)) from error
    except StoreError as error:
        raise StudyError(f"{error}\n{_CONTINUES}") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_CONTINUES) from stop
    value = {"uri": arguments.uri, "digest": digest, "bytes": total}
    settings = shlex.join(["--set", "dataset.kind=prepared", "--set", f"dataset.path={arguments.uri}"])
    return Answer(value, f"{total:,} bytes: use it with {settings}")


def _check_target(uri: str) -> None:
    """Raise `UserError` for a URI that studies could not read the data set from."""
    from pydantic import ValidationError

    from storage.uri import open_store
    from trainables.config.data import PreparedConfig

    if uri.startswith("memory:"):
        raise UserError(f"{uri}: is gone when this command ends; name file:///folder or s3://bucket/prefix")
    try:
        open_store(uri)
        PreparedConfig(path=uri)
    except ValidationError as error:
        raise UserError(f"URI: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_writable(uri: str) -> None:
    from storage.errors import StoreError
    from storage.uri import FIRST_LOOK, check_store, open_store

    try:
        check_store(open_store(uri, patience=FIRST_LOOK))
    except StoreError as error:
        raise UserError(str(error)) from error


def _lines(report: DataReport, last: str) -> str:
    return f"{report}\n{last}" if report.problems else last


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False)


if __name__ == "__main__":
    run_command(main)
