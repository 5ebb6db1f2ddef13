"""One case: the same command until its study has ended, with the faults of its plan, and then all checks."""

import json
import random
import re
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.checks import Ended, problems
from tests.chaos.drivers import Command, execute, fork
from tests.chaos.faults import FAULTS
from tests.chaos.plan import Plan, Strike, inner_of
from tests.chaos.reference import reference
from tests.chaos.scene import Scene, processes_of
from tests.chaos.servers import Servers

_MORE = 4
"""Commands without a new fault in which a study must end."""
_OWN_DATABASE = 4
"""Every fourth case makes its MLflow database itself, and meets faults meanwhile; the others begin with one."""
_LONGEST = 900.0
"""Seconds after which a command counts as hanging."""
_LOOK = 0.05
"""Seconds between two looks at a running command."""
_UNCLEAR = re.compile(r"^[A-Za-z]*(Error|Exception|Warning)\b: ")
"""How an error looks that no part of the platform expects."""


@dataclass
class Result:
    """What a case came to."""

    number: int
    study: str
    kills: Counter[str] = field(default_factory=Counter)
    """Of processes, by fault."""
    faults: Counter[str] = field(default_factory=Counter)
    """The others."""
    commands: int = 0
    codes: list[int] = field(default_factory=list)
    """Exit codes of the commands; negative: the signal that ended it."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "kills": dict(self.kills), "faults": dict(self.faults)}


class Case:
    """Runs the plan of a case in a new folder with a short path, as Ray's sockets need it."""

    def __init__(self, plan: Plan, servers: Servers) -> None:
        self._plan = plan
        folder = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))
        self._file = plan.study.write(folder)
        self._scene = Scene(plan.study, plan.study.load(self._file), folder, servers)
        for part in (self._scene.home, self._scene.temporary):
            part.mkdir()
        if plan.number % _OWN_DATABASE and plan.study.tracking == "file":
            shutil.copy(servers.database, self._scene.home / "mlflow.db")
        self.result = Result(plan.number, plan.study.name)
        self._forgiven: set[str] = set()
        self._failed = False
        """Whether trials have failed, which the next command starts again."""

    @property
    def folder(self) -> Path:
        """The case's folder; what is in it says what happened."""
        return self._scene.folder

    def run(self) -> Result:
        """Run and check it; its folder stays if there are problems."""
        began = time.monotonic()
        try:
            self._run()
        except Exception:  # of the campaign itself: the other cases go on
            self.result.problems.append(f"the case broke:\n{traceback.format_exc()}")
        finally:
            for process in processes_of(self.folder.name):
                process.kill()
        self.result.seconds = round(time.monotonic() - began, 1)
        if not self.result.problems:
            self.remove()
        return self.result

    def remove(self) -> None:
        """Remove the case's folder."""
        shutil.rmtree(self.folder)

    def _run(self) -> None:
        expected = reference(self._plan.study, self._file, self.folder / "reference")
        none: tuple[Strike, ...] = ()
        for strikes in (*self._plan.commands, *[none] * _MORE):
            if self._command(strikes) or self.result.problems:
                break
        else:
            self.result.problems.append(f"the study has not ended after {_MORE} commands without a new fault")
        if not self.result.problems:
            self.result.problems += problems(Ended(self._scene, expected, frozenset(self._forgiven)))

    def _command(self, strikes: Sequence[Strike]) -> bool:
        """Run the command once; return whether the study has ended."""
        self.result.commands += 1
        outcome = self._watched(tuple(strikes))
        code = -signal.SIGABRT if outcome is not None or (ended := self._ended()) is None else ended
        self.result.codes.append(code)
        text = self._messages("out").read_text(errors="replace").strip()
        answer = json.loads(text.splitlines()[-1]) if text else {}
        if outcome is not None:
            self.result.problems.append(outcome)
        elif code not in (0, -signal.SIGKILL):
            self._judge(code, answer, strikes)
        trials = answer.get("trials", {})
        self._failed = trials.get("failed", 0) > 0 or "--retry-failed" in str(answer.get("error", ""))
        if trials.get("failed", 0) > 0 and not self._forgiven:
            self.result.problems.append(f"command {self.result.commands}: trials failed: {trials}")
        # A refused write or a full disk at the very end keeps tables or checkpoints as they were. The command says that
        # the tables are not written, and the next one does what is left.
        complete = not any(FAULTS[strike.fault].breaks for strike in strikes)
        return complete and code == 0 and trials.get("unfinished") == 0 and not self._failed

    def _ended(self) -> int | None:
        return None if self._scene.process is None else self._scene.process.returncode

    def _judge(self, code: int, answer: dict[str, Any], strikes: Sequence[Strike]) -> None:
        """A command that is not killed ends with 0, 130 after an interruption, or a message about what was broken."""
        error = str(answer.get("error", ""))
        ended = any(FAULTS[strike.fault].ends for strike in strikes) or self._failed
        if code not in (1, 2, 130) or _UNCLEAR.match(error) or (not ended and code != 130):
            tail = self._messages("err").read_text(errors="replace")[-600:]
            self.result.problems.append(f"command {self.result.commands} ended with {code}: {error or tail}")

    def _watched(self, strikes: tuple[Strike, ...]) -> str | None:
        """Start the command, strike as planned, and wait for its end; return what is wrong if it hangs."""
        began, before = time.monotonic(), self._scene.events()
        self._start(strikes)
        self._note(strike for strike in strikes if FAULTS[strike.fault].inner is not None)
        waiting = {strike: random.Random(strike.seed) for strike in strikes if FAULTS[strike.fault].act is not None}
        process = self._scene.process
        assert process is not None
        while process.poll() is None:
            elapsed = time.monotonic() - began
            if elapsed > _LONGEST:
                process.send_signal(signal.SIGABRT)
                return f"command {self.result.commands} hangs for {_LONGEST:.0f} s"
            events = self._scene.events() - before if waiting else 0
            for strike in list(waiting):
                fault = FAULTS[strike.fault]
                due = (elapsed if fault.early else events) >= strike.after
                if due and fault.act is not None and fault.act(self._scene, waiting[strike]):
                    del waiting[strike]
                    self._note([strike])
            time.sleep(_LOOK)
        return None

    def _note(self, strikes: Any) -> None:
        for strike in strikes:
            fault = FAULTS[strike.fault]
            self._forgiven.update(fault.breaks)
            (self.result.kills if fault.kills else self.result.faults)[fault.name] += 1

    def _start(self, strikes: tuple[Strike, ...]) -> None:
        study, scene = self._plan.study, self._scene
        arguments = [study.verb, str(self._file), "--home", str(scene.home), "--store", scene.store_uri]
        arguments += ["--tracking", scene.tracking, "--json", *self._where()]
        arguments += ["--retry-failed"] if self._failed else []
        for stream in ("out", "err"):
            self._messages(stream).touch()
        command = Command(inner_of(strikes), arguments, scene.environment, self._messages("out"), self._messages("err"))
        scene.process = fork(command) if study.where == "inline" else execute(command)

    def _where(self) -> list[str]:
        study = self._plan.study
        if study.where == "inline":
            return ["--inline"]
        address = ["--address", self._scene.servers.nodes.address] if study.where == "nodes" else []
        return ["--max-concurrent", str(study.max_concurrent), *address]

    def _messages(self, stream: str) -> Path:
        return self.folder / f"{self.result.commands}.{stream}"
