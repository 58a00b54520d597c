"""The web process as a whole: light, documented, and described by a file that is fresh."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from groovemark.classifier.schema.batch import Batch, BatchList, FaultGroupList, FaultList, ItemList, SegmentList
from groovemark.classifier.schema.event import Progress
from groovemark.classifier.schema.files import AddedFiles
from groovemark.classifier.schema.message import Message
from groovemark.classifier.schema.predict_batch import PredictBatchResponse
from groovemark.config import Settings
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.genre.schema.genre import GenreListResponse, TitleListResponse
from groovemark.healthcheck.schema.healthcheck import HealthcheckResponse, ReadyResponse
from groovemark.main import create_app
from groovemark.schema import sample
from groovemark.webhooks.schema.webhook import WebhookDetail, WebhookList, WebhookSecret

ROOT = Path(__file__).parents[1]
HEAVY = (
    "numpy pandas pyarrow scipy torch lightgbm sklearn librosa numba soundfile soxr av transformers s3fs botocore "
    "groovemark.ml"
)

ALL_ROUTES = """
import asyncio, sys
import httpx
from groovemark.config import Settings
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.main import create_app

async def call_every_route():
    app = create_app(Settings(postgres_uri=sys.argv[1], groovemark_home=sys.argv[2], client_id="c", client_secret="s"))
    async with app.router.lifespan_context(app):
        headers = {"client-id": "c", "client-secret": "s"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            for path, methods in app.openapi()["paths"].items():
                path = path.replace("{batch_id}", "00000000-0000-0000-0000-000000000000")
                for method in methods:
                    files = {"csv_file": ("a.csv", b"x")} if method == "post" else None
                    answer = await client.request(
                        method, path.replace("{file_format}", "csv"), files=files, headers={"prefer": "respond-async"}
                    )
                    assert answer.status_code != 500, (method, path, answer.text)
            assert (await client.get("/docs")).status_code == 200

asyncio.run(call_every_route())
print([name for name in sys.argv[3].split() if name in sys.modules])
"""


def test_api_that_served_every_route_has_loaded_nothing_heavy(database_uri: str, tmp_path: Path) -> None:
    """import-linter sees other people's packages as leaves, so the real process is asked."""
    done = subprocess.run(
        [sys.executable, "-c", ALL_ROUTES, database_uri, str(tmp_path), HEAVY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_openapi_json_is_what_the_code_says() -> None:
    described = create_app(Settings.model_construct()).openapi()
    assert json.loads((ROOT / "openapi.json").read_text()) == described, "run `make openapi` and commit it"


def test_openapi_examples_are_the_samples_and_uploads_are_binary() -> None:
    described = create_app(Settings.model_construct()).openapi()
    post = described["paths"]["/api/v1/predict-batch"]["post"]
    assert post["operationId"] == "predict_batch_api_api_v1_predict_batch_post"
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert form["csv_file"]["format"] == form["files"]["items"]["format"] == "binary"
    example = post["responses"]["200"]["content"]["application/json"]["example"]
    assert example == sample("groovemark.classifier", "predict_batch")


def test_every_message_to_a_webhook_is_described() -> None:
    described = create_app(Settings.model_construct()).openapi()
    assert set(described["webhooks"]) == {f"batch.{state}" for state in BATCH_ENDED}


def test_every_operation_documents_its_errors_with_the_one_error_body() -> None:
    described = create_app(Settings.model_construct()).openapi()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            errors = {status for status in operation["responses"] if status >= "400"}
            if path.startswith("/api/v1/") and not path.endswith("healthcheck"):
                assert "401" in errors, (method, path)
            for status in errors - {"503"} if path == "/ready" else errors:
                [schema] = operation["responses"][status]["content"].values()
                assert schema["schema"] == {"$ref": "#/components/schemas/Problem"}, (path, status)


@pytest.mark.parametrize(
    ("package", "name", "model"),
    [
        ("classifier", "predict_batch", PredictBatchResponse),
        ("classifier", "batch", Batch),
        ("classifier", "batches", BatchList),
        ("classifier", "items", ItemList),
        ("classifier", "segments", SegmentList),
        ("classifier", "errors", FaultList),
        ("classifier", "error_groups", FaultGroupList),
        ("classifier", "open_batch", Batch),
        ("classifier", "added_files", AddedFiles),
        ("classifier", "event", Progress),
        ("classifier", "message", Message),
        ("webhooks", "webhook_secret", WebhookSecret),
        ("webhooks", "webhooks", WebhookList),
        ("webhooks", "webhook", WebhookDetail),
        ("genre", "genre_list", GenreListResponse),
        ("genre", "title_list", TitleListResponse),
        ("healthcheck", "healthcheck", HealthcheckResponse),
        ("healthcheck", "ready", ReadyResponse),
        ("healthcheck", "not_ready", ReadyResponse),
    ],
)
def test_response_samples_are_valid(package: str, name: str, model: type) -> None:
    found = sample(f"groovemark.{package}", name)
    assert TypeAdapter(model).validate_python(found, by_alias=True).model_dump(mode="json") == found


def test_every_sample_is_validated_above() -> None:
    samples = {path.stem for path in (ROOT / "src").rglob("schema/response_json/*.json")}
    marks = test_response_samples_are_valid.pytestmark[0].args[1]
    assert samples == {name for _, name, _ in marks}


def test_every_setting_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", readme))
    assert {name.upper() for name in Settings.model_fields} <= named


def test_sql_is_written_in_db_and_queue_alone() -> None:
    statement = re.compile(r'"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s', re.IGNORECASE)
    source = ROOT / "src" / "groovemark"
    guilty = [
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if path.relative_to(source).parts[0] not in ("db", "queue") and statement.search(path.read_text())
    ]
    assert guilty == []


def test_command_that_serves_loads_nothing_heavy_either() -> None:
    """The command line once imported every command, and `serve` with it numpy and pyarrow."""
    script = (
        "import sys; from typer.main import get_command; from groovemark.cli import app; "
        "get_command(app).get_command(None, 'serve'); import groovemark.main; "
        "print([name for name in sys.argv[1].split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
