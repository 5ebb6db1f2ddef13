"""Hears the warnings that the code of a stage logs, so that they reach the user: workers' logs are not shown."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainables.plugins.active import active_plugins

_OURS = ("storage", "trainables")


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the text on. Without other handlers, print it as if this one were not there, either."""
        self._hear(record.getMessage())
        if logging.lastResort is not None and not logging.getLogger().handlers:
            logging.lastResort.handle(record)


@contextmanager
def hearing_warnings(hear: Callable[[str], None]) -> Iterator[None]:
    """Call `hear` with each warning that our modules and those of the active plug-ins log inside."""
    of_plugins = {name.partition(".")[0] for plugin in active_plugins().loaded for name in plugin.modules}
    loggers = [logging.getLogger(name) for name in sorted({*_OURS, *of_plugins})]
    listener = _Listener(hear)
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(listener)
