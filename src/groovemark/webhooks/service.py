"""A client's webhooks: made, shown, given new secrets, removed."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from groovemark.db import webhooks
from groovemark.db.clients import Caller
from groovemark.dependencies import Services
from groovemark.errors import Conflict, NotFound
from groovemark.idempotency import Once
from groovemark.webhooks import signing
from groovemark.webhooks.addresses import refuse_url
from groovemark.webhooks.schema.webhook import Delivery, Webhook, WebhookDetail, WebhookSecret

PATH = "/api/v1/webhooks"
DELIVERIES_SHOWN = 20


async def create(services: Services, caller: Caller, url: str, once: Once) -> JSONResponse:
    """Raises RequestRejected for an address that messages are never sent to, Conflict when there are too many."""
    refuse_url(url, services.allowed_networks)
    endpoint_id = uuid.uuid4()
    secret = signing.secret_of(services.webhook_key, endpoint_id, 1)
    async with services.database.transaction() as connection:
        row = await webhooks.add(connection, caller, endpoint_id, url=url, secret_sha256=signing.hash_of(secret))
        await once.record(connection, _without_secret(row, HTTPStatus.CREATED, once))
    return _with_secret(row, secret, HTTPStatus.CREATED)


async def rotate(services: Services, caller: Caller, endpoint_id: uuid.UUID, once: Once) -> JSONResponse:
    """A new secret; for a day messages are signed with the old one as well. Raises NotFound, Conflict."""
    row = await find(services, caller, endpoint_id)
    number = row["secret_number"] + 1
    secret = signing.secret_of(services.webhook_key, endpoint_id, number)
    sha256 = signing.hash_of(secret)
    async with services.database.transaction() as connection:
        if not await webhooks.rotate(connection, endpoint_id, number=number, secret_sha256=sha256):
            raise Conflict("Another request rotates this webhook's secret at this moment.")
        await once.record(connection, _without_secret(row, HTTPStatus.OK, once))
    return _with_secret(row, secret, HTTPStatus.OK)


def _with_secret(row: RowMapping, secret: bytes, status: int) -> JSONResponse:
    shown = WebhookSecret(**webhook(row).model_dump(), secret=signing.shown(secret))
    return JSONResponse(shown.model_dump(mode="json"), status, headers=_headers(row))


def _without_secret(row: RowMapping, status: int, once: Once) -> JSONResponse:
    """The answer to a repeated request: answers are stored, and the secret is not."""
    answer = JSONResponse(webhook(row).model_dump(mode="json"), status, headers=_headers(row))
    once.keep_instead(answer)
    return answer


def _headers(row: RowMapping) -> dict[str, str]:
    return {"Location": f"{PATH}/{row['id']}", "Cache-Control": "no-store"}


async def find(services: Services, caller: Caller, endpoint_id: uuid.UUID) -> RowMapping:
    """One of the caller's own. Raises NotFound."""
    async with services.database.transaction() as connection:
        row = await webhooks.find(connection, caller, endpoint_id)
    if row is None:
        raise NotFound("webhook", str(endpoint_id))
    return row


async def detail(services: Services, caller: Caller, endpoint_id: uuid.UUID) -> WebhookDetail:
    row = await find(services, caller, endpoint_id)
    async with services.database.transaction() as connection:
        found = await webhooks.deliveries(connection, endpoint_id, limit=DELIVERIES_SHOWN)
    shown = [Delivery(**{name: delivery[name] for name in Delivery.model_fields}) for delivery in found]
    return WebhookDetail(**webhook(row).model_dump(), deliveries=shown)


async def remove(services: Services, caller: Caller, endpoint_id: uuid.UUID) -> None:
    await find(services, caller, endpoint_id)
    async with services.database.transaction() as connection:
        await webhooks.remove(connection, endpoint_id)


def webhook(row: RowMapping) -> Webhook:
    return Webhook(id=row["id"], url=row["url"], created_at=row["created_at"])
