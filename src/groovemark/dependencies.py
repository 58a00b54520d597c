"""What routes ask for: the application's parts and the authenticated client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from groovemark.db.notices import Notices
from groovemark.db.session import Database
from groovemark.ingest.uploads import UploadLimits
from groovemark.storage.local import LocalStorage


@dataclass(frozen=True)
class Services:
    """The parts of one API process, made in main's lifespan."""

    database: Database
    storage: LocalStorage
    notices: Notices
    upload_limits: UploadLimits
    api_name: str
    version: str
    requires_worker: bool
    clients_are_settled: Callable[[], bool]


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(get_services)]
