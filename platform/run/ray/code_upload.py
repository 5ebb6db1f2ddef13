"""How our code reaches the nodes of a Ray cluster, which need no checkout of it: as Ray's runtime environment."""

import json
import os
from collections.abc import Mapping
from typing import Any

from trainables.provenance import CODE, LOCK, ROOT, commit_variables

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray tells the driver of a submitted job by this variable, as JSON, what the job was submitted with."""


def runtime_environment(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the runtime environment of a driver, with the variables `settings` and the commit that the code is of.

    Nothing but what a worker runs is sent: no `.env`, no results, no part of `platform/`. A job that was submitted with
    a working directory has brought the code already, and Ray refuses to be told anew what the job has settled.
    """
    job = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("runtime_env")
    settled: Mapping[str, Any] = {} if job is None else job
    told = settled.get("env_vars", {})
    variables = {name: value for name, value in {**settings, **commit_variables()}.items() if name not in told}
    # gitignore's syntax, the last match decides; `.` is the folder itself
    code = {"working_dir": str(ROOT), "excludes": ["/*", "!/.", *(f"!/{name}" for name in (*CODE, LOCK))]}
    return {**({} if "working_dir" in settled else code), "env_vars": variables}
