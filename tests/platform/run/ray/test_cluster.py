"""Connecting to Ray."""

import socket
import tempfile
from pathlib import Path

import pytest
import ray

from platform.errors import StudyError, UserError
from platform.run.ray.cluster import _reach, cluster


@pytest.mark.parametrize(("address", "where"), [(None, "on this machine"), ("10.0.0.1:6379", "at 10.0.0.1:6379")])
def test_a_cluster_that_does_not_answer_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, address: str | None, where: str
) -> None:
    def fails(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr("platform.run.ray.cluster._reach", lambda address: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(StudyError, match=rf"no Ray cluster {where}.*timed out.*tries again"), cluster(address):
        raise AssertionError("must not get here")


@pytest.mark.parametrize("port", [None, "70000"])
def test_an_address_where_nothing_listens_is_told_at_once(port: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would try for more than ten minutes, in which Ctrl-C is not heard."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = str(closed.getsockname()[1])
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was asked"))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    address = f"127.0.0.1:{free if port is None else port}"
    with pytest.raises(StudyError, match=rf"no Ray cluster at {address}: nothing answers there \("), cluster(address):
        raise AssertionError("must not get here")


@pytest.mark.parametrize("address", ["auto", "local", "ray://127.0.0.1:1"])
def test_what_only_ray_knows_is_left_to_it(address: str) -> None:
    _reach(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_where_something_listens_is_left_to_ray(host: str) -> None:
    with socket.create_server(
        (host.strip("[]"), 0), family=socket.AF_INET6 if "[" in host else socket.AF_INET
    ) as open_:
        _reach(f"{host}:{open_.getsockname()[1]}")


@pytest.mark.parametrize(
    ("address", "mode", "warned"),
    [("h:1", None, True), ("h:1", "", True), ("h:1", "disabled", True), ("h:1", "token", False), (None, None, False)],
)
def test_a_cluster_that_asks_for_no_token_is_warned_of(
    address: str | None,
    mode: str | None,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr("platform.run.ray.cluster._reach", lambda address: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with cluster(address):
        assert ("the Ray cluster at h:1 asks for no token" in caplog.text) == warned


def test_variables_that_the_user_sets_for_ray_are_named_if_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise Exception("unknown mode")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setenv("RAY_AUTH_MODE", "bogus")
    with pytest.raises(StudyError, match=r"unknown mode .*Your environment sets .*RAY_AUTH_MODE"), cluster(None):
        raise AssertionError("must not get here")


def test_a_long_temporary_folder_is_not_used_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket has at most 107 characters, and Ray adds about 90 to the folder's."""
    (tmp_path / "long").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "long"))
    folders: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *, _temp_dir, **_: folders.append(_temp_dir))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with cluster(None):
        assert len(folders[0]) <= 107 - 67
    monkeypatch.setattr("platform.run.ray.cluster._SHORT_ROOT", tmp_path / "absent")
    with pytest.raises(UserError, match=f"TMPDIR is {tmp_path}/long, which is too long"), cluster(None):
        raise AssertionError("must not get here")
