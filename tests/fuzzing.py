"""What hypothesis tries: the same examples each time, so that a failure is of the change that is tested.

`make fuzz` tries other examples each time.
"""

from hypothesis import HealthCheck, settings

_CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=_CHECKS)
settings.register_profile("fuzz", settings.get_profile("repeatable"), derandomize=False)
settings.load_profile("repeatable")
