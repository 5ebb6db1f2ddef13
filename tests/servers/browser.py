"""A headless Chromium for tests, driven by chromedriver over HTTP (W3C WebDriver): no package is needed for it."""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.ports import free_port

_OPTIONS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--window-size=1700,1000",
)
_PATIENCE = 120
"""Seconds that a page may take to show something."""


class Browser:
    """One window."""

    def __init__(self, driver: str) -> None:
        """Open a window through the chromedriver at the URL `driver`."""
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses to be root
        chromium = {"goog:chromeOptions": {"args": [*_OPTIONS, *sandbox]}}
        patient = {"timeouts": {"script": 1000 * _PATIENCE, "pageLoad": 1000 * _PATIENCE}}
        answer = _request(f"{driver}/session", {"capabilities": {"alwaysMatch": {**chromium, **patient}}})
        self._session = f"{driver}/session/{answer['sessionId']}"

    def open(self, url: str) -> None:
        """Go to `url`, from another page: a change of the fragment alone loads nothing."""
        self._call("url", {"url": "about:blank"})
        self._call("url", {"url": url})

    def run(self, script: str) -> Any:
        """Return what the JavaScript function body `script` returns."""
        return self._call("execute/sync", {"script": script, "args": []})

    def text(self) -> str:
        """Return the text of the page as it is shown."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def wait(self, *parts: str) -> str:
        """Wait until the page shows all `parts`, and return its text."""
        return self.until(lambda: all(part in self.text() for part in parts), f"the page does not show {parts}")

    def link(self, text: str) -> str:
        """Return where the first link with exactly that text leads."""
        path = json.dumps(f"//a[text()='{text}']")
        where = self.run(
            f"return document.evaluate({path}, document, null, 9, null).singleNodeValue?.getAttribute('href')"
        )
        assert where is not None, f"there is no link {text}"
        return str(where)

    def enter_frame(self) -> None:
        """Go on inside the page's first frame, once there is one."""
        find = "return document.querySelector('iframe')"
        self.until(lambda: self.run(find) is not None, "the page has no frame")
        self._call("frame", {"id": self.run(find)})

    def screenshot(self, file: Path) -> None:
        """Write what is seen as a PNG."""
        file.write_bytes(base64.b64decode(self._call("screenshot")))

    def close(self) -> None:
        """Close the window."""
        _request(self._session, method="DELETE")

    def until(self, condition: Callable[[], bool], complaint: str) -> str:
        """Wait until `condition` holds, and return the text of the page."""
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{complaint}:\n{self.text()[:3000]}"
            time.sleep(0.3)
        return self.text()

    def _call(self, command: str, body: Any = None) -> Any:
        return _request(f"{self._session}/{command}", body)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A window of a Chromium that ends with the session. Skips where Chromium or its driver is not installed."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if absent:
        pytest.skip(f"needs a browser (Debian: chromium chromium-driver); not installed: {', '.join(absent)}")
    port = free_port()
    process = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        window = _opened(f"http://127.0.0.1:{port}")
        yield window
        window.close()
    finally:
        process.terminate()
        process.wait(20)


def _opened(driver: str) -> Browser:
    deadline = time.monotonic() + 60
    while True:
        try:
            return Browser(driver)
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "chromedriver does not answer"
            time.sleep(0.2)


def _request(url: str, body: Any = None, *, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=180) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()[:2000]) from None
