"""What opens databases and servers stays in the environment: out of terminal, logs, views, store and Ray's metadata."""

import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import sqlalchemy

from platform.report import main as report
from platform.safe_output import safe_output
from platform.sweep import main as sweep
from storage.uri import open_store
from storage.verify import main as verify
from tests.programs import ROOT, program
from tests.servers.postgres import Postgres

SECRETS = {name: f"planted-{name}-secret" for name in ("key", "endpoint", "password", "database")}
SPACE = """\
target: noop.value
trials: 3
sampler: random
space:
  noop.value: {uniform: [0.0, 1.0]}
  noop.fail_at: {choice: [0, 1]}
points: [{noop.fail_at: 1, noop.value: 0.5}]
"""


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for all that a Ray cluster writes; its path is short, since sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="mindsweep-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def leaks(place: str, data: bytes) -> list[str]:
    return [f"{place}: {name}" for name, secret in SECRETS.items() if secret.encode() in data]


def leaks_below(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files, folder
    return [leak for path in files for leak in leaks(str(path), path.read_bytes())]


def rows(uri: str) -> bytes:
    """Return all that a database holds, as text."""
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        names = sqlalchemy.inspect(engine).get_table_names()
        found = [row for name in names for row in connection.execute(sqlalchemy.text(f'select * from "{name}"'))]
    engine.dispose()
    assert len(found) > 20
    return repr(found).encode()


@pytest.mark.long
def test_a_sweep_leaves_no_secret_anywhere(
    tmp_path: Path,
    ray_folder: Path,
    postgres: Postgres,
    s3_endpoint: str,
    aws: Callable[[str], AbstractContextManager[None]],
) -> None:
    """One trial fails, so that its traceback is recorded, too. The database asks for no password, but is told one."""
    (tmp_path / "tiny.yaml").write_text(SPACE)
    database = postgres.create("secrets").replace("postgresql:", "postgresql+psycopg2:")
    tracking = database.replace("postgres@", f"postgres:{SECRETS['database']}@")
    place, home = "s3://mindsweep/tests/secrets", tmp_path / "home"
    options = ["--home", str(home), "--store", place, "--tracking", tracking, "--max-concurrent", "1"]
    with aws(s3_endpoint):
        environment = {
            **os.environ,
            "AWS_SECRET_ACCESS_KEY": SECRETS["key"],
            "MLFLOW_TRACKING_USERNAME": "me",
            "MLFLOW_TRACKING_PASSWORD": SECRETS["password"],
        }
        command = program("looked_at_sweep", ray_folder, tmp_path / "tiny.yaml", *options)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert b"missing in MLflow" not in done.stderr
    found = leaks("stdout", done.stdout) + leaks("stderr", done.stderr) + leaks("database", rows(database))
    with aws(s3_endpoint):
        store = open_store(place)
        keys = list(store.list(""))
        assert any(key.startswith("studies/") for key in keys)
        found += [leak for key in keys for leak in leaks(key, store.get(key))]
    assert found + leaks_below(home) + leaks_below(ray_folder) == []


def test_a_server_that_is_gone_is_told_without_its_password(
    tmp_path: Path, aws: Callable[[str], AbstractContextManager[None]], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    file, home = str(tmp_path / "tiny.yaml"), ["--home", str(tmp_path / "home")]
    for scheme in ("postgresql", "mysql", "http", "nonsense"):
        tracking = f"{scheme}://me:{SECRETS['database']}@127.0.0.1:9/name"
        assert sweep([file, *home, "--tracking", tracking]) == 2
        assert sweep([file, *home, "--tracking", tracking, "--json"]) == 2
    assert sweep([file, *home, "--store", f"s3://me:{SECRETS['endpoint']}@bucket/prefix"]) == 2
    with aws(f"http://me:{SECRETS['endpoint']}@127.0.0.1:9"):
        assert sweep([file, *home, "--store", "s3://bucket/prefix"]) == 2
        assert report(["table6", *home, "--store", "s3://bucket/prefix"]) == 2
        assert verify(["s3://bucket/prefix"]) == 2
    told = capfd.readouterr()
    assert told.err.count("the S3 endpoint contains a user or password") == 3
    assert "127.0.0.1:9" in told.err
    assert leaks("stdout", told.out.encode()) + leaks("stderr", told.err.encode()) == []


def test_a_secret_with_a_newline_is_refused_by_its_name(
    tmp_path: Path,
    aws: Callable[[str], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As a file of a Kubernetes secret ends. botocore quotes the value in its error."""
    (tmp_path / "tiny.yaml").write_text(SPACE)
    with aws("http://127.0.0.1:9"):
        monkeypatch.setenv("AWS_SESSION_TOKEN", SECRETS["key"] + "\n")
        options = ["--home", str(tmp_path / "home"), "--store", "s3://bucket/prefix"]
        assert sweep([str(tmp_path / "tiny.yaml"), *options, "--json"]) == 2
    told = capfd.readouterr()
    assert "AWS_SESSION_TOKEN begins or ends with white space" in told.out
    assert leaks("stdout", told.out.encode()) + leaks("stderr", told.err.encode()) == []


def test_what_a_library_prints_is_safe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["password"])
    with safe_output():
        assert logging.lastResort is not None, "what prints the records of libraries"
        logging.lastResort.emit(logging.makeLogRecord({"msg": f"refused: {SECRETS['password']}"}))
        traceback.print_exception(ValueError(f"token {SECRETS['password']}"))
        sys.stdout.write(SECRETS["password"])
    told = capsys.readouterr()
    assert (told.out, "refused: ..." in told.err, "ValueError: token ..." in told.err) == ("...", True, True)


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stream)
    with safe_output():
        sys.stdout.write("≥ ü")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u2265 \xfc"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_PROFILE", "absent", "absent"),
        ("AWS_CONFIG_FILE", "config", "config"),
        ("AWS_ENDPOINT_URL", "no url", "no url"),
    ],
)
def test_settings_of_s3_that_cannot_be_used_are_a_mistake(
    name: str,
    value: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    (tmp_path / "config").write_text("[profile\n= no file of AWS\n")
    monkeypatch.setenv(name, str(tmp_path / value) if name == "AWS_CONFIG_FILE" else value)
    options = ["--home", str(tmp_path / "home"), "--store", "s3://bucket/prefix"]
    assert sweep([str(tmp_path / "tiny.yaml"), *options]) == 2
    told = capfd.readouterr().err
    assert "the settings for S3" in told
    assert reason in told
    assert "Traceback" not in told
