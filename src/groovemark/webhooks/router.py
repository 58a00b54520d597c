"""Routes of webhooks."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Response

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.db import webhooks
from groovemark.dependencies import ServicesDependency
from groovemark.idempotency import OnceDependency
from groovemark.schema import documented, errors
from groovemark.webhooks import service
from groovemark.webhooks.schema.webhook import NewWebhook, WebhookDetail, WebhookList, WebhookSecret

PACKAGE = "groovemark.webhooks"
router = APIRouter(prefix="/webhooks", route_class=AuthenticatedRoute, tags=["webhooks"])


@router.post(
    "",
    operation_id="create_webhook",
    summary="Be told of the ends of batches",
    response_model=WebhookSecret,
    status_code=201,
    responses={
        201: documented(PACKAGE, "webhook_secret", "The webhook, with its secret."),
        **errors(400, 401, 403, 409, 413, 422, 503),
    },
)
async def create_webhook(
    new: NewWebhook, caller: CallerDependency, services: ServicesDependency, once: OnceDependency
) -> Response:
    """Messages are sent to the address whenever a batch of this client completes, fails or is cancelled.

    They follow the Standard Webhooks specification: verify `webhook-signature` with the secret, which is shown this
    once (a repeated request gets none), and take messages of equal `webhook-id` for one. What is not answered with 2xx
    within 15 s is sent again after 5 s, 5 min, 30 min, 2 h, 5 h and 10 h. Redirects are not followed.
    """
    return await service.create(services, caller, new.url, once)


@router.get(
    "",
    operation_id="list_webhooks",
    summary="List webhooks",
    response_model=WebhookList,
    responses={200: documented(PACKAGE, "webhooks", "All of the client's, oldest first."), **errors(401, 422, 503)},
)
async def list_webhooks(caller: CallerDependency, services: ServicesDependency) -> WebhookList:
    """The client's own; those of others are nobody else's business."""
    async with services.database.transaction() as connection:
        rows = await webhooks.of_client(connection, caller)
    return WebhookList(webhooks=[service.webhook(row) for row in rows])


@router.get(
    "/{webhook_id}",
    operation_id="get_webhook",
    summary="Look after a webhook",
    response_model=WebhookDetail,
    responses={200: documented(PACKAGE, "webhook", "With its last 20 messages."), **errors(401, 404, 422, 503)},
)
async def get_webhook(webhook_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency) -> WebhookDetail:
    """The last messages, newest first, with what became of them."""
    return await service.detail(services, caller, webhook_id)


@router.post(
    "/{webhook_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Give a webhook a new secret",
    response_model=WebhookSecret,
    responses={
        200: documented(PACKAGE, "webhook_secret", "The webhook, with its new secret."),
        **errors(401, 403, 404, 409, 413, 422, 503),
    },
)
async def rotate_webhook_secret(
    webhook_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency, once: OnceDependency
) -> Response:
    """For 24 hours messages carry a signature of the old secret too."""
    return await service.rotate(services, caller, webhook_id, once)


@router.delete(
    "/{webhook_id}",
    operation_id="delete_webhook",
    summary="Remove a webhook",
    status_code=204,
    responses={204: {"description": "It is gone, and what was still to be sent."}, **errors(401, 403, 404, 422, 503)},
)
async def delete_webhook(webhook_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency) -> None:
    """Nothing is sent to it any more."""
    await service.remove(services, caller, webhook_id)
