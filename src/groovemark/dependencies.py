"""What routes ask for: the application's parts and the authenticated client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from groovemark.backpressure import Admission
from groovemark.db.notices import Notices
from groovemark.db.session import Database
from groovemark.db.watching import Watchers
from groovemark.ingest.addresses import Network
from groovemark.ingest.uploads import UploadLimits
from groovemark.storage.base import Storage


@dataclass(frozen=True)
class Services:
    """The parts of one API process, made in main's lifespan."""

    database: Database
    storage: Storage
    notices: Notices
    watchers: Watchers
    upload_limits: UploadLimits
    admission: Admission
    webhook_key: bytes
    allowed_networks: Sequence[Network]
    api_name: str
    version: str
    requires_worker: bool
    clients_are_settled: Callable[[], bool]


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(get_services)]
