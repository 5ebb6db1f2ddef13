"""What hypothesis tries: the same examples each time, so that a failure is of the change that is tested.

`make fuzz` tries other examples each time, and many more of them.
"""

from hypothesis import HealthCheck, settings

_CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_MORE = 60
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=_CHECKS)
settings.register_profile("fuzz", settings.get_profile("repeatable"), derandomize=False)
settings.load_profile("repeatable")


def tried(examples: int) -> settings:
    """Return the settings of a test that tries so many examples, and 60 times as many in `make fuzz`."""
    return settings(max_examples=examples if settings.get_current_profile_name() == "repeatable" else _MORE * examples)
