"""The plug-ins in the records of a study: as names for views, or with their code after the user's consent."""

from collections.abc import Collection

from platform.errors import UserError
from storage.base import Store
from storage.errors import IntegrityError
from storage.studies import load_calls
from trainables.plugins.active import NO_PLUGINS, Plugins, load_plugins
from trainables.plugins.recorded import declared_plugins, recorded, sources_of
from trainables.plugins.source import PluginError


def named_plugins(store: Store, study: str) -> Plugins:
    """Return the plug-ins of `study` without their code: views show their metrics and controls by name.

    Raises:
        storage.errors.IntegrityError: A source is not that of its digest.
    """
    calls = load_calls(store, study)
    try:
        return declared_plugins(calls[-1]) if calls else NO_PLUGINS
    except PluginError as error:
        raise IntegrityError(str(error)) from error


def trusted_plugins(store: Store, study: str, *, trusted: Collection[str]) -> Plugins:
    """Return the plug-ins of `study`, whose code is executed: the user trusts the SHA-256 digests `trusted`.

    Raises:
        UserError: The user has not trusted all of them; the message shows their digests. Or one cannot be loaded.
        storage.errors.IntegrityError: A source is not that of its digest.
    """
    calls = load_calls(store, study)
    try:
        sources = sources_of(calls[-1]) if calls else ()
    except PluginError as error:
        raise IntegrityError(str(error)) from error
    unknown = [source for source in sources if source.sha256 not in trusted]
    if unknown:
        lines = [f"  {source.name} ({source.path}): {source.sha256}" for source in unknown]
        consent = " ".join(f"--trust-plugin {source.sha256}" for source in unknown)
        raise UserError(
            f"{study} runs the code of plug-ins, whose source is in its records. Nothing of it is executed without "
            f"your consent:\n{chr(10).join(lines)}\nread them (`python -m platform.export` writes the records), and if "
            f"you trust them, add {consent}"
        )
    try:
        return recorded(load_plugins(sources))
    except PluginError as error:
        raise UserError(str(error)) from error
