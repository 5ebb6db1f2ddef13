"""Compares the recorded environment of a trial with the current one, before anything is repeated."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from platform.reproduction.selection import RecordedTrial
from storage.runs import Manifest, RunStore
from trainables.config.trial import TrialConfig, config_from_json, flatten
from trainables.datasets.errors import some
from trainables.graph import StageRun, stage_runs
from trainables.identity import canonical
from trainables.provenance import LOCK, ROOT, code_facts

State = Literal["restored", "differs", "unknown"]
_GPU = Path("/dev/nvidiactl")
_SHOWN = 3
"""Largest number of items that a text lists."""


@dataclass(frozen=True)
class Fact:
    """One property of the environment that can change the result of a repetition."""

    what: str
    state: State
    text: str
    """The recorded value, and the current value if it differs."""


@dataclass(frozen=True)
class Restoration:
    """The parts of a trial's environment that can be restored."""

    facts: tuple[Fact, ...]
    config: TrialConfig | None
    """None if the trial cannot be repeated: its config is no longer valid, or its stage runs have other identities."""
    manifests: Mapping[str, Manifest]
    """Stage to the manifest of its run; manifests that cannot be read are absent."""
    intact: bool
    """Whether the store has all recorded files, unchanged."""


def restore_trial(trial: RecordedTrial, stored: RunStore, *, root: Path = ROOT) -> Restoration:
    """Compare the record of `trial` with the code in `root`. Runs nothing, but reads all stored files."""
    manifests: dict[str, Manifest] = {}
    damages: list[str] = []
    for run in trial.runs:
        manifest, damages_of_run = stored.examine(run.identity)
        if manifest is not None:
            manifests[run.stage] = manifest
        elif not damages_of_run:
            damages_of_run = ("its manifest is missing",)
        damages += [f"{run.identity}: {damage}" for damage in damages_of_run]
    damages += _contradictions(trial, manifests)
    config, resolved = config_and_identities(trial)
    facts = (
        *_code(manifests, root),
        *_libraries(manifests, root),
        *resolved,
        _data(manifests, config),
        Fact("seed", "restored", str(trial.proposed.seed)),
        *_hardware(manifests),
        Fact("records", "differs" if damages else "restored", "; ".join(damages) or "every stored file is intact"),
    )
    return Restoration(facts, config, manifests, not damages)


def threads_of(manifest: Manifest | None) -> int:
    """Return the recorded number of torch threads; 1, the default of stages, if it was not recorded."""
    return 1 if manifest is None else int(manifest.info.get("threads", "1"))


def _contradictions(trial: RecordedTrial, manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """Yield the metrics whose values differ between the trial's record and the manifests of its stage runs."""
    stored = {f"{stage}.{name}": value for stage, run in manifests.items() for name, value in run.metrics.items()}
    for name, value in trial.result.metrics.items():
        if name.partition(".")[0] in manifests and stored.get(name) != value:
            yield f"{name} is {value} in the record of {trial.name}, but {stored.get(name)} in the stage run's manifest"


def _code(manifests: Mapping[str, Manifest], root: Path) -> Iterator[Fact]:
    current = code_facts(root)
    yield _compared(
        "code", manifests, "code", current["code"], meaning="digest of the sources of storage/, trainables/"
    )
    recorded = {m.info["commit"]: m.info.get("dirty") for m in manifests.values() if "commit" in m.info}
    now = current.get("commit")
    if not recorded:
        yield Fact("commit", "unknown", f"not recorded; here {now}")
    for commit, dirty in recorded.items():
        changed = " with changes that are in no commit" if dirty == "true" else ""
        checkout_hint = f"; check it out with `git worktree add ../then {commit[:12]}`" if commit != now else ""
        state: State = (
            "differs" if commit != now else "unknown" if changed or current.get("dirty") == "true" else "restored"
        )
        yield Fact("commit", state, f"{commit[:12]}{changed}{checkout_hint}")
    yield _compared("lock", manifests, "lock", current.get("lock", "none"), meaning=f"digest of {LOCK}")


def _libraries(manifests: Mapping[str, Manifest], root: Path) -> Iterator[Fact]:
    yield _compared("python", manifests, "python", ".".join(map(str, sys.version_info[:3])))
    for package in ("torch", "numpy"):
        recorded_by = {stage: m for stage, m in manifests.items() if package in m.info}
        if recorded_by:
            yield _compared(package, recorded_by, package, _installed(package))
    differing = _unlike_lock(root)
    listing = some(differing, most=_SHOWN)
    yield Fact(
        "packages",
        "differs" if differing else "restored",
        f"unlike {LOCK}: {listing}" if differing else f"as in {LOCK}",
    )


def _compared(
    what: str, manifests: Mapping[str, Manifest], key: str, current: str, *, meaning: str | None = None
) -> Fact:
    """Compare the fact `key` of all stage runs with its value `here`."""
    stages: dict[str, list[str]] = defaultdict(list)
    for stage, manifest in manifests.items():
        stages[manifest.info.get(key, "")].append(stage)
    unknown, differing = stages.pop("", []), {value: where for value, where in stages.items() if value != current}
    parts = [f"{', '.join(where)}: {value} then, {current} here" for value, where in differing.items()]
    if unknown:
        parts.append(f"not recorded by {', '.join(unknown)}; {current} here")
    if not parts:
        parts = [current]
    state: State = "differs" if differing else "unknown" if unknown or not manifests else "restored"
    return Fact(what, state, "; ".join(parts) + (f" ({meaning})" if meaning is not None else ""))


@lru_cache(maxsize=8)  # a hundred packages, the same for every trial
def _unlike_lock(root: Path) -> tuple[str, ...]:
    """Return the packages of the lock file that are not installed in the locked version."""
    lines = (root / LOCK).read_text(encoding="utf-8").splitlines() if (root / LOCK).is_file() else []
    locked = [(name, locked_version) for name, sign, locked_version in (line.partition("==") for line in lines) if sign]
    return tuple(
        f"{name} {locked_version} (here {installed})"
        for name, locked_version in locked
        if not _is_same_version(installed := _installed(name), locked_version)
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _is_same_version(installed: str, locked: str) -> bool:
    """Compare versions without the build tag: torch 2.13.0 may be installed as 2.13.0+cpu."""
    return installed.partition("+")[0] == locked.partition("+")[0].strip()


def config_and_identities(trial: RecordedTrial) -> tuple[TrialConfig | None, list[Fact]]:
    """Return the config if all stage runs have their recorded identities, and facts about config and identities."""
    try:
        config = config_from_json(trial.proposed.config)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:_SHOWN])
        return None, [Fact("config", "differs", f"not a valid config for this code: {reasons}")]
    valid = Fact("config", "restored", "as recorded")
    recorded = trial.runs
    try:
        current = _stage_runs(config, trial.proposed.seed, recorded)
    except (_Fingerprint, KeyError) as error:
        return None, [valid, Fact("identities", "differs", str(error))]
    changes = [change for run in recorded if (change := _change(run, current[run.stage])) is not None]
    if not changes:
        return config, [
            valid,
            Fact("identities", "restored", f"all {len(recorded)} stage runs have their recorded identities"),
        ]
    changed_stages = [run.stage for run in recorded if run.identity != current[run.stage].identity]
    return None, [
        valid,
        Fact("identities", "differs", f"{'; '.join(changes)} (other identities: {', '.join(changed_stages)})"),
    ]


class _Fingerprint(Exception):
    """The fingerprint of a stage's external inputs cannot be read."""


def _stage_runs(config: TrialConfig, seed: int, recorded: Sequence[StageRun]) -> dict[str, StageRun]:
    """Return the current stage runs by stage, computed one by one so that an error names its stage."""
    current: dict[str, StageRun] = {}
    for run in recorded:
        try:
            current |= {now.stage: now for now in stage_runs(config, seed=seed, targets=[run.stage])}
        except KeyError:
            raise KeyError(f"there is no stage {run.stage} any more") from None
        except Exception as error:  # for example, a folder was deleted or a data set cannot be read
            raise _Fingerprint(f"{run.stage}: its fingerprint cannot be computed: {error}") from error
    return current


def _change(then: StageRun, now: StageRun) -> str | None:
    """Return why `now` has another identity than `then`, apart from its inputs; None if only inputs differ."""
    if then.identity == now.identity:
        return None
    old, new = ({k: canonical(v) for k, v in flatten(run.config).items()} for run in (then, now))
    pairs = {name: (old.get(name, "absent"), new.get(name, "absent")) for name in sorted(old.keys() | new.keys())}
    fields = [f"{name} was {was}, is {is_now}" for name, (was, is_now) in pairs.items() if was != is_now]
    if then.seed != now.seed:
        fields.append(f"its seed was {then.seed}, is {now.seed}")
    if then.inputs.keys() != now.inputs.keys():
        fields.append(f"its inputs were {sorted(then.inputs)}, are {sorted(now.inputs)}")
    if not fields and then.inputs == now.inputs:
        fields.append("its version, or the version of identities, has changed")
    return f"{then.stage}: {', '.join(fields)}" if fields else None


def _data(manifests: Mapping[str, Manifest], config: TrialConfig | None) -> Fact:
    """Return the fact about the stage without inputs: its identity and digest. Only running it shows if it is equal."""
    sources = [manifest for manifest in manifests.values() if not manifest.inputs]
    text = ", ".join(f"{source.identity}, content {source.digest[:16]}" for source in sources)
    return Fact("data", "unknown" if config is None or not sources else "restored", text or "no manifest of it")


def _hardware(manifests: Mapping[str, Manifest]) -> Iterator[Fact]:
    yield from _device(manifests)
    yield from _threads(manifests)
    yield from _parallelism(manifests)
    hosts = {(m.info.get("host"), m.info.get("system")) for m in manifests.values()}
    if hosts:
        yield Fact("machine", "unknown", ", ".join(f"{host} ({system})" for host, system in sorted(hosts, key=str)))


def _device(manifests: Mapping[str, Manifest]) -> Iterator[Fact]:
    devices = sorted({m.info["device"] for m in manifests.values() if "device" in m.info})
    if devices == ["cpu"]:
        yield Fact("device", "restored", "cpu; the repetition uses no GPU")
    elif devices:
        state: State = "unknown" if _GPU.exists() else "differs"
        gpu_text = "a GPU is available here" if _GPU.exists() else "no GPU is available here"
        yield Fact(
            "device", state, f"{', '.join(devices)}; {gpu_text}: expect agreement within tolerance, not bit-equality"
        )


def _threads(manifests: Mapping[str, Manifest]) -> Iterator[Fact]:
    threads = {stage: m.info.get("threads") for stage, m in manifests.items() if "torch" in m.info}
    if not threads:
        return
    unknown = [stage for stage, number in threads.items() if number is None]
    recorded = ", ".join(f"{stage} {number}" for stage, number in threads.items() if number is not None)
    parts = [recorded] if recorded else []
    parts += [f"not recorded, 1 is used: {', '.join(unknown)}"] if unknown else []
    yield Fact("threads", "unknown" if unknown else "restored", "; ".join(parts))


def _parallelism(manifests: Mapping[str, Manifest]) -> Iterator[Fact]:
    """Yield facts about several workers and about micro-batches: the repetition has neither."""
    workers = [f"{stage} {m.info['workers']}" for stage, m in manifests.items() if m.info.get("workers", "1") != "1"]
    if workers:
        expectation = "the repetition has one worker: expect agreement within tolerance, not bit-equality"
        yield Fact("workers", "differs", f"{', '.join(workers)}; {expectation}")
    batches = [f"{stage} {m.info['micro_batch']}" for stage, m in manifests.items() if "micro_batch" in m.info]
    if batches:
        expectation = (
            "the repetition uses the value of the config, by default whole batches: expect agreement within tolerance"
        )
        yield Fact("rows at a time", "differs", f"{', '.join(batches)}; {expectation}")
