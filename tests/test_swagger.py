"""Swagger in a real browser: "Try it out" uploads a file, and nothing is asked of another host."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from groovemark.cli.demo.rows import write_echonest_csv
from tests.conftest import Service

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_try_it_out_classifies_a_csv(service: Service, api: httpx.Client, tmp_path: Path) -> None:
    """Swagger once sent the word "string" for every field left alone, and the service refused it."""
    path = tmp_path / "tracks.csv"
    write_echonest_csv(path, 5, seed=3)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        _classify(browser, service, api, path)
        browser.close()
    assert api.get("/genre/list").json()["genre"] != []


def _classify(browser: Browser, service: Service, api: httpx.Client, path: Path) -> None:
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.address}/docs")
    operation = page.locator("#operations-classifier-predict_batch_classifier")
    operation.locator(".opblock-summary").click()
    for name in ("client-id", "client-secret"):
        operation.locator(f'tr[data-param-name="{name}"] input').fill(api.headers[name])
    operation.locator('input[type="file"]').first.set_input_files(path)
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table tbody .response-col_status").first
    answer.wait_for(timeout=30_000)
    assert answer.inner_text().split()[0] == "200", operation.locator(".live-responses-table").inner_text()
    assert all(url.startswith((service.address, "blob:", "data:")) for url in asked), asked
