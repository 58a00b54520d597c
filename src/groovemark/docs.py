"""Swagger UI, served from our own files so that it works offline."""

from __future__ import annotations

import base64
import hashlib

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from groovemark.schema import describe_problem

ASSETS = "/docs/assets"


def add_docs(app: FastAPI) -> None:
    """`/docs` without a byte from another host."""
    generate = app.openapi
    app.openapi = lambda: app.openapi_schema or describe_problem(generate())  # type: ignore[method-assign]
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs-assets")

    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="groovemark",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon-32x32.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True, "validatorUrl": None},
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())

    @app.get("/docs", include_in_schema=False)
    async def swagger() -> HTMLResponse:
        return page


def _policy(page: str) -> str:
    """The page's own script, our files, and nothing else; Swagger UI sets styles and draws icons from data."""
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
