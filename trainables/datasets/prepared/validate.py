"""Checks a prepared data set against every rule of the format. Reports all findings at once, each with advice.

Arrays are read once, in blocks.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from trainables.datasets.errors import DataProblem, DataReport, DatasetError, DataVerdict
from trainables.datasets.prepared.check_clips import ClipFacts, clip_problems, clip_table_problems
from trainables.datasets.prepared.check_subject import subject_problems, twin_problems
from trainables.datasets.prepared.description import DESCRIPTION_FILE, Description, FileFacts
from trainables.datasets.prepared.digest import content_files, digest_files, folder_state, set_digest
from trainables.datasets.prepared.parts import Advance
from trainables.datasets.prepared.read import PreparedSet, open_prepared
from trainables.datasets.verdicts import recall_verdict, remember_verdict


def validate(
    folder: Path,
    advance: Advance = lambda count: None,
    *,
    files: Mapping[str, FileFacts] | None = None,
) -> DataVerdict:
    """Check the data set in `folder`, and store the verdict for `checked_before`.

    Args:
        folder: The data set.
        advance: Is called with the number of bytes that have been read; `bytes_to_read` says how many there are.
        files: What `digest_files` returned, if it has been called before.
    """
    try:
        data = open_prepared(folder)
    except DatasetError as error:
        return DataVerdict(DataReport(error.problems))
    links = [*_dangling(folder)]
    if files is None:
        files = {} if links else digest_files(folder, advance)
    problems = [*links, *_facts(data.description, folder), *_files(data.description, files, folder)]
    if not links:
        problems += _content(data, files, advance)
    verdict = DataVerdict(
        DataReport(tuple(problems)),
        subjects=len(data.description.subjects),
        kind=data.description.kind,
        digest=set_digest(files) if files else "",
    )
    remember_verdict(folder, folder_state(folder), verdict, beside=True)
    return verdict


def checked_before(folder: Path) -> DataVerdict | None:
    """Return the verdict on files that have not changed since; reads names, sizes and times only."""
    return recall_verdict(folder, folder_state(folder)) if (folder / DESCRIPTION_FILE).is_file() else None


def check_tables(folder: Path) -> DataVerdict:
    """Check description and table of clips alone: what can be said before the arrays are there. Nothing is remembered.

    `upload` refuses what has errors, and the stages check everything when they read it.
    """
    try:
        data = open_prepared(folder)
        problems = [*_facts(data.description, folder), *clip_table_problems(data)]
    except DatasetError as error:
        return DataVerdict(DataReport(error.problems))
    about = data.description
    return DataVerdict(DataReport(tuple(problems)), len(about.subjects), about.kind, about.digest)


def bytes_to_read(folder: Path) -> tuple[int, int]:
    """Return how many bytes `digest_files` reads, and how many the other checks."""
    sizes = {name: (folder / name).stat().st_size for name in content_files(folder) if (folder / name).exists()}
    return sum(sizes.values()), sum(size for name, size in sizes.items() if name.endswith(".npy"))


def _content(data: PreparedSet, files: Mapping[str, FileFacts], advance: Advance) -> Iterator[DataProblem]:
    try:
        yield from clip_problems(data, advance)
        clips = ClipFacts.of(data.clips)
    except DatasetError as error:
        yield from error.problems
        return
    readable = []
    for subject in data.subjects:
        try:
            yield from subject_problems(subject, data.description, clips, advance)
            readable.append(subject)
        except DatasetError as error:
            yield from error.problems
    digests = {
        subject.name: files[path].sha256 for subject in readable if (path := _array(subject.array, data)) in files
    }
    yield from twin_problems(readable, digests)


def _array(path: Path, data: PreparedSet) -> str:
    return path.relative_to(data.folder).as_posix()


def _dangling(folder: Path) -> Iterator[DataProblem]:
    for name in content_files(folder):
        if not (folder / name).exists():
            right = "get the content first (`datalad get`, `git lfs pull`), or copy the file"
            yield DataProblem(str(folder / name), "is a link to a file that does not exist", right)


def _facts(about: Description, folder: Path) -> Iterator[DataProblem]:
    """Check the entries of dataset.json."""
    path = folder / DESCRIPTION_FILE
    if about.kind == "rows" and about.lag_s:
        right = "rows are responses to their clips already: set it to 0"
        yield DataProblem(f"{path}, lag_s", f"is {about.lag_s:g} for kind rows", right)
    yield from lag_problems(about, folder)
    if not about.subjects:
        yield DataProblem(f"{path}, subjects", "is empty", "name the folder of each subject")
    folders = {entry.name for entry in folder.iterdir() if entry.is_dir() and (entry / "voxels.parquet").exists()}
    extra = sorted(folders - set(about.subjects))
    if extra:
        right = "name them in dataset.json, or remove their folders"
        yield DataProblem(f"{path}, subjects", f"does not name {', '.join(extra)}", right, fatal=False)
    for name in ("licence", "citation"):
        if not getattr(about, name):
            yield DataProblem(f"{path}, {name}", "is empty", "fill it in: reports print it", fatal=False)


def lag_problems(about: Description, folder: Path) -> Iterator[DataProblem]:
    """Yield a warning if the lag is no whole number of volumes: studies round it."""
    if about.rounded_lag is not None:
        what = f"is {about.lag_s:g} s, not a whole number of volumes of {about.tr:g} s"
        yield DataProblem(
            f"{folder / DESCRIPTION_FILE}, lag_s", what, f"it is taken as {about.rounded_lag}", fatal=False
        )


def _files(about: Description, files: Mapping[str, FileFacts], folder: Path) -> Iterator[DataProblem]:
    """Compare the files with the digests in dataset.json; a data set that a lab wrote itself may have none."""
    if not about.files or not files:
        return
    for name, promised in sorted(about.files.items()):
        if name not in files:
            yield DataProblem(str(folder / name), "is missing", "copy it again, or prepare the data again")
        elif files[name].bytes != promised.bytes:
            what = f"has {files[name].bytes:,} bytes, but dataset.json says {promised.bytes:,}"
            yield DataProblem(str(folder / name), what, "the file was changed or cut off: copy it again")
        elif files[name].sha256 != promised.sha256:
            what = f"has the SHA-256 {files[name].sha256[:12]}..., but dataset.json says {promised.sha256[:12]}..."
            yield DataProblem(str(folder / name), what, "the file was changed or damaged: copy it again")
    for name in sorted(files.keys() - about.files.keys()):
        right = "it is not used; remove it, or prepare the data again"
        yield DataProblem(str(folder / name), "is not named in dataset.json", right, fatal=False)
    if about.digest and set_digest(about.files) != about.digest:
        yield DataProblem(f"{folder / DESCRIPTION_FILE}, digest", "does not fit the files", "prepare the data again")
