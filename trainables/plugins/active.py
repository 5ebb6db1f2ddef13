"""The plug-ins of a study, and the block in which the tables of this process have their entries."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from trainables.plugins.combining import additions_of
from trainables.plugins.loading import LoadedPlugin, importable, load_plugin
from trainables.plugins.source import PluginError, PluginSource, unchanged
from trainables.tables import Additions, Table, extended


@dataclass(frozen=True)
class Plugins:
    """The plug-ins of a study."""

    sources: tuple[PluginSource, ...] = ()
    additions: Additions = field(default_factory=dict, compare=False, repr=False)
    """The entries that they add to the tables."""
    loaded: tuple[LoadedPlugin, ...] = field(default=(), compare=False, repr=False)
    """Empty if their code was not executed."""
    is_recorded: bool = field(default=False, compare=False)
    """Whether they come from the records of a study and not from the files that they were written in."""

    @property
    def digests(self) -> Mapping[str, str]:
        """Name to SHA-256."""
        return {source.name: source.sha256 for source in self.sources}

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections that they add to the config."""
        declared = [plugin.plugin for plugin in self.loaded]
        of_stages = [stage.name for plugin in declared for stage in plugin.stages if stage.settings is not None]
        of_decoders = [kind.name for plugin in declared for kind in plugin.decoders if kind.settings is not None]
        return tuple(dict.fromkeys((*of_stages, *of_decoders)))

    @property
    def changed(self) -> tuple[PluginSource, ...]:
        """The plug-ins whose files are no longer those that were read."""
        return () if self.is_recorded else tuple(source for source in self.sources if not unchanged(source))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Extend the tables of this process in the block."""
        with importable(self.loaded), extended({**self.additions, "plugins": {_ACTIVE: self}}):
            yield


NO_PLUGINS = Plugins()
_ACTIVE = "active"
_PLUGINS: Mapping[str, Plugins] = Table("plugins", {})


def active_plugins() -> Plugins:
    """Return the plug-ins in whose block this is called."""
    return _PLUGINS.get(_ACTIVE, NO_PLUGINS)


def load_plugins(sources: Sequence[PluginSource]) -> Plugins:
    """Execute the code of `sources` and return the plug-ins.

    Raises:
        PluginError: One cannot be loaded or is not complete, a name is taken, or one is there in two versions.
    """
    _refuse_repeated(sources)
    loaded = tuple(map(load_plugin, sources))
    return Plugins(tuple(sources), additions_of(loaded), loaded) if loaded else NO_PLUGINS


def _refuse_repeated(sources: Sequence[PluginSource]) -> None:
    by_name: dict[str, PluginSource] = {}
    for source in sources:
        first = by_name.setdefault(source.name, source)
        if first is source:
            continue
        if first.sha256 == source.sha256:
            raise PluginError(f"the plug-in {source.name} is listed twice ({first.path}, {source.path}); remove one")
        raise PluginError(
            f"the plug-in {source.name} is listed in two versions: {first.path} ({first.sha256[:16]}) and "
            f"{source.path} ({source.sha256[:16]}); a study has one version of a plug-in"
        )
