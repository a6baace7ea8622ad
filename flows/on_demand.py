"""Training from a form in the Prefect UI: the flow of the deployment `train-on-demand`."""

from prefect import flow

from flows.pipeline import run_pipeline
from tasks.report.summary import Summary
from tasks.settings.form import FormSettings


@flow(name="mnist-pipeline")
def train_on_demand(settings: FormSettings = FormSettings()) -> Summary:
    """Download, convert, train, evaluate and report, with the settings of a form.

    Args:
        settings: a preset, and values that replace the preset's.

    Returns:
        The numbers of the run, as in `artifacts/latest/report/metrics.json`.
    """
    return run_pipeline(settings.settings())
