"""Ray's runtime environment of a driver. It uploads the code to the nodes, so they need no checkout."""

import json
import os
from collections.abc import Mapping
from typing import Any

from trainables.provenance import CODE, LOCK, ROOT, commit_variables

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The environment variable with the settings of a submitted job, as JSON. Ray sets it for the driver of the job."""


def runtime_environment(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the runtime environment of a driver: the code, the variables `settings`, and the commit of the code.

    Only the code that workers run is uploaded: no `.env`, no results, no part of `platform/`. A job that was submitted
    with a working directory already has the code, and Ray refuses a setting that the job has also set.
    """
    job = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("runtime_env")
    job_settings: Mapping[str, Any] = {} if job is None else job
    job_variables = job_settings.get("env_vars", {})
    variables = {name: value for name, value in {**settings, **commit_variables()}.items() if name not in job_variables}
    # The syntax of .gitignore: the last match decides, and `.` is the folder itself.
    code = {"working_dir": str(ROOT), "excludes": ["/*", "!/.", *(f"!/{name}" for name in (*CODE, LOCK))]}
    return {**({} if "working_dir" in job_settings else code), "env_vars": variables}
