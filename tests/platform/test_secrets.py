"""What opens databases and servers stays in the environment: out of terminal, logs, views, store and Ray's metadata."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import sqlalchemy

from platform.report import main as report
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
