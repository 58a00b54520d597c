"""Who is calling. Credentials are checked before a route looks at anything else, its parameters and body included."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute

from groovemark.db import clients
from groovemark.db.clients import Caller
from groovemark.dependencies import get_services
from groovemark.errors import DatabaseUnavailable, Forbidden, Unauthorized

CREDENTIAL_BYTES_MAX = 512
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class AuthenticatedRoute(APIRoute):
    """Authenticates before FastAPI reads parameters, so that a stranger learns nothing but 401.

    A client with the scope `read` may read; everything else needs `write`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            caller = await _authenticate(request)
            scope = "read" if request.method in _READING else "write"
            if scope not in caller.scopes:
                raise Forbidden(scope=scope)
            request.state.caller = caller
            return await handle(request)

        return authenticated


async def _authenticate(request: Request) -> Caller:
    client_id, secret = request.headers.get("client-id"), request.headers.get("client-secret")
    if not client_id or not secret or len(client_id) + len(secret) > CREDENTIAL_BYTES_MAX:
        raise Unauthorized
    if "\0" in client_id:
        raise Unauthorized
    services = get_services(request)
    if not services.clients_are_settled():
        raise DatabaseUnavailable
    async with services.database.transaction() as connection:
        caller = await clients.authenticate(connection, client_id, secret)
    if caller is None:
        raise Unauthorized
    return caller


def _caller(
    request: Request,
    client_id: Annotated[str, Header(alias="client-id", description="The client's id.")],
    client_secret: Annotated[str, Header(alias="client-secret", description="One of its live secrets.")],
) -> Caller:
    """Declares both headers in the OpenAPI document; AuthenticatedRoute has checked them already."""
    del client_id, client_secret
    caller: Any = request.state.caller
    assert isinstance(caller, Caller)  # noqa: S101  every router that uses this has AuthenticatedRoute
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]
