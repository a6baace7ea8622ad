"""Prefect's form for a run of a deployment, as a person fills it in, in both of its interfaces."""

import time
from typing import Any
from uuid import UUID

from helpers.browser import open_page
from helpers.site import Site
from playwright.sync_api import Browser, Page, expect

UIS = {"v1": "", "v2": "/v2"}


def submit_form(
    site: Site,
    browser: Browser,
    ui: str,
    deployment: str,
    preset: str,
    first: dict[str, str],
    more: dict[str, str],
) -> UUID:
    """Open the form, fill it in, and submit it; returns the run.

    Args:
        site: the server.
        browser: a browser.
        ui: `v1` or `v2`.
        deployment: its name.
        preset: name to choose.
        first: text by label, for the fields that are shown first.
        more: text by label, for fields of the group `More`, which is folded at first.
    """
    with site.client() as client:
        found = client.read_deployment_by_name(deployment)
    address = f"{site.url.removesuffix('/api')}{UIS[ui]}/deployments/deployment/{found.id}/run"
    with open_page(browser, address, viewport={"width": 1280, "height": 1300}) as (page, _):
        expect(page.get_by_text("Learning rate (Optional)")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("Batch size (Optional)")).not_to_be_visible()
        choose(page, ui, "tutorial", preset)
        for label, text in first.items():
            field_of(page, label).fill(text)
        if more:
            page.get_by_role("button" if ui == "v1" else "tab", name="More", exact=True).click()
            for label, text in more.items():
                field_of(page, label).fill(text)
        before = runs_of(site, found.id)
        new: set[UUID] = set()
        until = time.monotonic() + 60
        while not new:
            # A busy server may refuse; the form then says "Oops", and a person clicks again.
            assert time.monotonic() < until, page.inner_text("body")
            page.get_by_role("button", name="Submit").click()
            new = wait_for_new_run(site, found.id, before)
    (run_id,) = new
    return run_id


def wait_for_new_run(site: Site, deployment_id: UUID, before: set[UUID]) -> set[UUID]:
    """The run that the form has made; empty if there is none after some seconds."""
    until = time.monotonic() + 15
    while not (new := runs_of(site, deployment_id) - before) and time.monotonic() < until:
        time.sleep(0.3)
    return new


def choose(page: Page, ui: str, now: str, wanted: str) -> None:
    """Choose a value of a list."""
    name = now if ui == "v1" else "Select Preset"
    page.get_by_role("button", name=name).first.focus()
    page.keyboard.press("ArrowDown" if ui == "v1" else "Enter")
    page.get_by_role("option", name=wanted).click()
    expect(page.get_by_role("option", name=wanted)).not_to_be_visible()


def field_of(page: Page, label: str) -> Any:
    """The box below a label."""
    text = page.get_by_text(f"{label} (Optional)", exact=True)
    return text.locator("xpath=following::*[self::input or self::textarea][1]")


def runs_of(site: Site, deployment_id: UUID) -> set[UUID]:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    with site.client() as client:
        return {run.id for run in client.read_flow_runs(deployment_filter=chosen)}
