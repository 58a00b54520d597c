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
from groovemark.idempotency import answer_once, declare_key

CREDENTIAL_BYTES_MAX = 512
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class AuthenticatedRoute(APIRoute):
    """Authenticates before FastAPI reads parameters, so that a stranger learns nothing but 401.

    A client with the scope `read` may read; everything else needs `write`. A POST request may be sent again with its
    Idempotency-Key.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        dependencies = options.get("dependencies") or []
        # A router that is included makes its routes once more.
        is_declared = any(dependency.dependency is declare_key for dependency in dependencies)
        if "POST" in (options.get("methods") or ()) and not is_declared:
            options["dependencies"] = [*dependencies, Depends(declare_key)]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        body = (self.openapi_extra or {}).get("requestBody", {})
        takes_form = "multipart/form-data" in body.get("content", {})

        async def authenticated(request: Request) -> Response:
            caller = await _authenticate(request)
            scope = "read" if request.method in _READING else "write"
            if scope not in caller.scopes:
                raise Forbidden(scope=scope)
            request.state.caller = caller
            if request.method != "POST":
                return await handle(request)
            return await answer_once(request, caller, handle, takes_form=takes_form)

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
