"""Every router, once, in URL order."""

from __future__ import annotations

from fastapi import FastAPI

from groovemark.classifier.announcements import router as announcements
from groovemark.classifier.batches_router import router as batches_router
from groovemark.classifier.events import router as events_router
from groovemark.classifier.results_router import router as results_router
from groovemark.classifier.router import router as classifier_router
from groovemark.genre.router import router as genre_router
from groovemark.healthcheck.router import root_router
from groovemark.healthcheck.router import router as healthcheck_router
from groovemark.webhooks.router import router as webhooks_router

PREFIX = "/api/v1"


def add_routers(app: FastAPI) -> None:
    app.webhooks.include_router(announcements)
    app.include_router(root_router)
    app.include_router(classifier_router, prefix=PREFIX)
    app.include_router(batches_router, prefix=PREFIX)
    app.include_router(events_router, prefix=PREFIX)
    app.include_router(results_router, prefix=PREFIX)
    app.include_router(genre_router, prefix=PREFIX)
    app.include_router(webhooks_router, prefix=PREFIX)
    app.include_router(healthcheck_router, prefix=PREFIX)
