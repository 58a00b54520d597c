"""Routes of genres."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.db import listings
from groovemark.db.listings import TitleKey
from groovemark.db.models import DEFAULT_TASK
from groovemark.dependencies import ServicesDependency
from groovemark.genre import service
from groovemark.genre.schema.genre import GenreListResponse, TitleListResponse
from groovemark.paging import After, cut_page, decode_cursor, encode_cursor, next_link
from groovemark.schema import documented, errors

PACKAGE = "groovemark.genre"
PAGE_MAX = 10_000
router = APIRouter(prefix="/genre", route_class=AuthenticatedRoute, tags=["genre"])

Task = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$", description="What was predicted.")]


@router.get(
    "/list",
    operation_id="genre_list_api_api_v1_genre_list_get",
    summary="List genres",
    response_model=GenreListResponse,
    responses={200: documented(PACKAGE, "genre_list", "Genres in the database."), **errors(401, 422, 503)},
)
async def genre_list(
    caller: CallerDependency, services: ServicesDependency, task: Task = DEFAULT_TASK
) -> GenreListResponse:
    """Genres that at least one track of the client's catalog carries, sorted."""
    async with services.database.transaction() as connection:
        labels = await listings.labels(connection, catalog_id=caller.catalog_id, task=task)
    return GenreListResponse(genre=labels)


@router.get(
    "/title-list",
    operation_id="title_list_api_api_v1_genre_title_list_get",
    summary="List the titles of a genre",
    response_model=TitleListResponse,
    responses={
        200: documented(PACKAGE, "title_list", "Titles, sorted; with `limit`, Link names the next page."),
        **errors(401, 422, 503),
    },
)
async def title_list(
    request: Request,
    caller: CallerDependency,
    services: ServicesDependency,
    genre: Annotated[str, Query(max_length=255, pattern=r"^[^\x00]*$", description="A genre, in any case.")],
    task: Task = DEFAULT_TASK,
    limit: Annotated[int | None, Query(ge=1, le=PAGE_MAX, description="Titles a page; everything without it.")] = None,
    after: After = None,
) -> Response:
    """Titles of the tracks that carry the genre now: one entry a track, equal titles repeated, sorted."""
    label = await service.find_label(services, caller, task=task, name=genre)
    if limit is None:
        titles = service.all_titles(services, caller, task=task, label=label)
        return StreamingResponse(titles, media_type="application/json")
    key = TitleKey(*decode_cursor(after, str, int)) if after else None
    async with services.database.transaction() as connection:
        found = await listings.titles(
            connection, catalog_id=caller.catalog_id, task=task, label=label, after=key, limit=limit + 1
        )
    page, end = cut_page(found, limit)
    answer = TitleListResponse(genre=label, titles=[entry.title for entry in page])
    headers = {}
    if end is not None:
        headers = next_link(request, after=encode_cursor(end.title, end.track_id))
    return JSONResponse(answer.model_dump(), headers=headers)
