"""What a verb prints: without secrets, whoever wrote it, and with escapes for what the terminal cannot show."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from storage.environment import without_secrets


class _SafeStream:
    """A stream that changes what is written to it. All else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None)
        shown = without_secrets(text)
        if encoding is not None:
            shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        try:
            self._stream.write(shown)
        except OSError as error:  # such as a full disk; the message then says which output it was
            error.filename = self._stream.name
            raise
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_output() -> Iterator[None]:
    """Make stdout and stderr of this process safe. Libraries print and log there, and quote what they were given."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _SafeStream(sys.stdout), _SafeStream(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
