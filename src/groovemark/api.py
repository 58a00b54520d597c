"""Every router, once, in URL order."""

from __future__ import annotations

from fastapi import FastAPI

from groovemark.classifier.router import router as classifier_router
from groovemark.genre.router import router as genre_router
from groovemark.healthcheck.router import root_router
from groovemark.healthcheck.router import router as healthcheck_router

PREFIX = "/api/v1"


def add_routers(app: FastAPI) -> None:
    app.include_router(root_router)
    app.include_router(classifier_router, prefix=PREFIX)
    app.include_router(genre_router, prefix=PREFIX)
    app.include_router(healthcheck_router, prefix=PREFIX)
