"""What of a recorded trial's circumstances is the same here and now: said before anything is run again."""

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
from trainables.config.trial import TrialConfig, flatten
from trainables.graph import StageRun, stage_runs
from trainables.identity import canonical
from trainables.provenance import LOCK, ROOT, code_facts

State = Literal["restored", "differs", "unknown"]
_GPU = Path("/dev/nvidiactl")
_SHOWN = 3
"""So many of a list are named."""


@dataclass(frozen=True)
class Fact:
    """One thing that decides, or might, whether a repetition comes out the same."""

    what: str
    state: State
    text: str
    """What was recorded, and what is here where that is not the same."""


@dataclass(frozen=True)
class Restoration:
    """What can be restored of one trial."""

    facts: tuple[Fact, ...]
    config: TrialConfig | None
    """None where it cannot be repeated: it is no config any more, or its stage runs would be others."""
    manifests: Mapping[str, Manifest]
    """Stage to what its run made; those that cannot be read are absent."""
    intact: bool
    """Whether the store holds what was recorded, every byte of it."""


def restore_trial(trial: RecordedTrial, stored: RunStore, *, root: Path = ROOT) -> Restoration:
    """Compare what is recorded of `trial` with what is here, in `root`. Runs nothing, but reads all stored files."""
    manifests: dict[str, Manifest] = {}
    damages: list[str] = []
    for run in trial.runs:
        manifest, found = stored.examine(run.identity)
        if manifest is not None:
            manifests[run.stage] = manifest
        elif not found:
            found = ("its manifest is missing",)
        damages += [f"{run.identity}: {damage}" for damage in found]
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
    """Return how many threads torch had; one, as stages get unless granted more, where that was not recorded."""
    return 1 if manifest is None else int(manifest.info.get("threads", "1"))


def _contradictions(trial: RecordedTrial, manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """Yield the metrics that the trial's record and the manifests of its stage runs give different values."""
    made = {f"{stage}.{name}": value for stage, run in manifests.items() for name, value in run.metrics.items()}
    for name, value in trial.result.metrics.items():
        if name.partition(".")[0] in manifests and made.get(name) != value:
            yield f"{name} is {value} in the record of {trial.name}, but {made.get(name)} in the stage run's manifest"


def _code(manifests: Mapping[str, Manifest], root: Path) -> Iterator[Fact]:
    here = code_facts(root)
    yield _compared("code", manifests, "code", here["code"], meaning="digest of the sources of storage/, trainables/")
    recorded = {m.info["commit"]: m.info.get("dirty") for m in manifests.values() if "commit" in m.info}
    now = here.get("commit")
    if not recorded:
        yield Fact("commit", "unknown", f"not recorded; here {now}")
    for commit, dirty in recorded.items():
        changed = " with changes that are in no commit" if dirty == "true" else ""
        get_it = f"; `git worktree add ../then {commit[:12]}` brings the commit back" if commit != now else ""
        state: State = (
            "differs" if commit != now else "unknown" if changed or here.get("dirty") == "true" else "restored"
        )
        yield Fact("commit", state, f"{commit[:12]}{changed}{get_it}")
    yield _compared("lock", manifests, "lock", here.get("lock", "none"), meaning=f"digest of {LOCK}")


def _libraries(manifests: Mapping[str, Manifest], root: Path) -> Iterator[Fact]:
    yield _compared("python", manifests, "python", ".".join(map(str, sys.version_info[:3])))
    for package in ("torch", "numpy"):
        having = {stage: m for stage, m in manifests.items() if package in m.info}
        if having:
            yield _compared(package, having, package, _installed(package))
    other = _unlike_lock(root)
    named = ", ".join(other[:_SHOWN]) + (f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else "")
    yield Fact("packages", "differs" if other else "restored", f"unlike {LOCK}: {named}" if other else f"as in {LOCK}")


def _compared(what: str, manifests: Mapping[str, Manifest], key: str, here: str, *, meaning: str | None = None) -> Fact:
    """Compare fact `key` of all stage runs with what it is `here`."""
    stages: dict[str, list[str]] = defaultdict(list)
    for stage, manifest in manifests.items():
        stages[manifest.info.get(key, "")].append(stage)
    unknown, others = stages.pop("", []), {value: where for value, where in stages.items() if value != here}
    parts = [f"{', '.join(where)}: {value} then, {here} here" for value, where in others.items()]
    if unknown:
        parts.append(f"not recorded by {', '.join(unknown)}; {here} here")
    if not parts:
        parts = [here]
    state: State = "differs" if others else "unknown" if unknown or not manifests else "restored"
    return Fact(what, state, "; ".join(parts) + (f" ({meaning})" if meaning is not None else ""))


@lru_cache(maxsize=8)  # a hundred packages, the same for every trial
def _unlike_lock(root: Path) -> tuple[str, ...]:
    """Return the packages of the lock that are installed in another version, or not at all."""
    lines = (root / LOCK).read_text(encoding="utf-8").splitlines() if (root / LOCK).is_file() else []
    wanted = [(name, right) for name, sign, right in (line.partition("==") for line in lines) if sign]
    return tuple(f"{name} {right} (here {has})" for name, right in wanted if not _same(has := _installed(name), right))


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _same(has: str, wanted: str) -> bool:
    """Compare versions but for the build: torch 2.13.0 installs as 2.13.0+cpu."""
    return has.partition("+")[0] == wanted.partition("+")[0].strip()


def config_and_identities(trial: RecordedTrial) -> tuple[TrialConfig | None, list[Fact]]:
    """Return the config if every stage run comes out under its recorded identity, and what to say of both."""
    try:
        config = TrialConfig.model_validate(trial.proposed.config)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:_SHOWN])
        return None, [Fact("config", "differs", f"no config of this code: {said}")]
    valid = Fact("config", "restored", "as recorded")
    recorded = trial.runs
    try:
        now = _stage_runs(config, trial.proposed.seed, recorded)
    except (_Fingerprint, KeyError) as error:
        return None, [valid, Fact("identities", "differs", str(error))]
    changes = [change for run in recorded if (change := _change(run, now[run.stage])) is not None]
    if not changes:
        return config, [valid, Fact("identities", "restored", f"all {len(recorded)} stage runs come out under theirs")]
    after = [run.stage for run in recorded if run.identity != now[run.stage].identity]
    return None, [valid, Fact("identities", "differs", f"{'; '.join(changes)} (so other runs: {', '.join(after)})")]


class _Fingerprint(Exception):
    """What decides a stage's result beside the config cannot be read."""


def _stage_runs(config: TrialConfig, seed: int, recorded: Sequence[StageRun]) -> dict[str, StageRun]:
    """Return today's stage runs by name, one by one, so that what cannot be read is known by its stage."""
    found: dict[str, StageRun] = {}
    for run in recorded:
        try:
            found |= {made.stage: made for made in stage_runs(config, seed=seed, targets=[run.stage])}
        except KeyError:
            raise KeyError(f"there is no stage {run.stage} any more") from None
        except Exception as error:  # a folder that is gone, a data set that became unreadable
            raise _Fingerprint(f"{run.stage}: its fingerprint cannot be taken: {error}") from error
    return found


def _change(then: StageRun, now: StageRun) -> str | None:
    """Return what makes `now` another run than `then`, by itself and not through its inputs."""
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
        fields.append("its version, or how identities are made, was raised since")
    return f"{then.stage}: {', '.join(fields)}" if fields else None


def _data(manifests: Mapping[str, Manifest], config: TrialConfig | None) -> Fact:
    """Tell what the trial's source, the stage without inputs, made; whether that comes out again is seen by running."""
    sources = [manifest for manifest in manifests.values() if not manifest.inputs]
    text = ", ".join(f"{source.identity}, content {source.digest[:16]}" for source in sources)
    return Fact("data", "unknown" if config is None or not sources else "restored", text or "no manifest of it")


def _hardware(manifests: Mapping[str, Manifest]) -> Iterator[Fact]:
    devices = sorted({m.info["device"] for m in manifests.values() if "device" in m.info})
    if devices == ["cpu"]:
        yield Fact("device", "restored", "cpu; a GPU, if there is one, is hidden from the repetition")
    elif devices:
        state: State = "unknown" if _GPU.exists() else "differs"
        here = "a GPU is here, of whatever kind" if _GPU.exists() else "here is none"
        yield Fact("device", state, f"{', '.join(devices)}; {here}: expect agreement within tolerance, not of bits")
    threads = {stage: m.info.get("threads") for stage, m in manifests.items() if "torch" in m.info}
    if threads:
        unknown = [stage for stage, number in threads.items() if number is None]
        known = ", ".join(f"{stage} {number}" for stage, number in threads.items() if number is not None)
        parts = [*([known] if known else []), *([f"not recorded, 1 is taken: {', '.join(unknown)}"] if unknown else [])]
        yield Fact("threads", "unknown" if unknown else "restored", "; ".join(parts))
    workers = [f"{stage} {m.info['workers']}" for stage, m in manifests.items() if m.info.get("workers", "1") != "1"]
    if workers:
        one = "the repetition has one worker: expect agreement within tolerance, not of bits"
        yield Fact("workers", "differs", f"{', '.join(workers)}; {one}")
    parts = [f"{stage} {m.info['micro_batch']}" for stage, m in manifests.items() if "micro_batch" in m.info]
    if parts:
        whole = "the repetition takes its config's, most likely whole batches: expect agreement within tolerance"
        yield Fact("rows at a time", "differs", f"{', '.join(parts)}; {whole}")
    hosts = {(m.info.get("host"), m.info.get("system")) for m in manifests.values()}
    if hosts:
        yield Fact("machine", "unknown", ", ".join(f"{host} ({system})" for host, system in sorted(hosts, key=str)))
