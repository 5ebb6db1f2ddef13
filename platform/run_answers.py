"""The answers of `sweep`, `ablate` and `resume`: the plan of a dry run, or the summary after a run."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rich.console import Console

from platform.cli import Answer
from platform.errors import StudyError
from platform.options import Options
from platform.run.admission import refuse_here
from platform.screen.plan import plan_json, render_plan
from platform.study.plan import make_plan
from platform.study.study import Study
from storage.base import Store
from storage.environment import without_secrets

if TYPE_CHECKING:
    from platform.launch import MlflowView


def study_answer(study: Study, store: Store, options: Options) -> Answer:
    """Run `study`, or plan it for a dry run. Raises as `platform.run.driver.run_study`. Its plug-ins must be active."""
    return _plan(study, store, options) if options.dry_run else _run(study, store, options)


def _plan(study: Study, store: Store, options: Options) -> Answer:
    plan = make_plan(study, store, retry_failed=options.retry_failed)
    if plan.ended < plan.trials:
        refuse_here(study, options)

    def show(console: Console) -> None:
        with study.plugins.active():  # it is printed after the verb has returned
            render_plan(plan, study, console=console)

    return Answer(plan_json(plan, study), show)


def _run(study: Study, store: Store, options: Options) -> Answer:
    from platform.launch import (
        launch,
        mlflow_view,
    )  # Ray, Optuna and MLflow take seconds to import: check the arguments first

    for note in study.notes:
        _print_note(note)
    with ExitStack() as held, mlflow_view(study, options) as mlflow:
        try:
            summary = launch(study, options, mlflow, held)
        except StudyError:
            _report(study, store, options, mlflow)  # on the existing results
            raise
        if summary.interrupted:
            _print_note(_how_to_continue(study))
        report = _report(study, store, options, mlflow)
    code = max(summary.exit_code, StudyError.exit_code) if "report_error" in report else summary.exit_code
    return Answer({**summary.to_json(), **report}, exit_code=code)


def _report(study: Study, store: Store, options: Options, mlflow: "MlflowView") -> Mapping[str, Any]:
    """Write the report, print its answers, and attach it to the study's run in MLflow; return its part of `--json`."""
    from platform.reporting.making import make_report

    try:
        page, report = make_report(store, study.id, options.home / "reports" / study.id)
    except Exception as error:  # the results are stored: an error of the report must not hide them
        reason = without_secrets(f"{type(error).__name__}: {error}")
        _print_note(
            f"the results are stored, but the report could not be written: {reason}\n"
            f"write it again with: python -m platform.report {study.id}"
        )
        return {"report_error": reason}
    conclusions = [text for _, text in report.conclusions]
    lines = [*report.alerts, *(f"- {text}" for text in conclusions), f"report: {page}"]
    Console(markup=False, highlight=False, soft_wrap=True).print("\n".join(lines))
    mlflow.attach(page)
    return {"report": str(page), "alerts": list(report.alerts), "answers": conclusions}


def _how_to_continue(study: Study) -> str:
    return f"interrupted; continue with the same command or with python -m platform.resume {study.id}"


def _print_note(text: str) -> None:
    Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(text)
