"""The whole service on a bucket."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from groovemark.cli.db import upgrade_schema
from tests.conftest import Server, Service, free_port, start_groovemark, wait_until_ready
from tests.inputs import distinct_clips, echonest_csv, zip_file
from tests.ledger import broken_promises, watch
from tests.posting import post_audio, post_csv


@pytest.fixture
def service(postgres: Server, s3_environment: dict[str, str], s3_place: str, tmp_path: Path) -> Iterator[Service]:
    uri = postgres.create_database()
    upgrade_schema(uri)
    port = free_port()
    environment = {
        **s3_environment,
        "POSTGRES_URI": uri,
        "STORAGE_PATH": s3_place,
        "PORT": str(port),
        "REQUIRE_WORKER": "true",
        "AUDIO_PROCESSES": "1",
    }
    # Of two machines: what lies on the disk of one is not on that of the other.
    api = start_groovemark("serve", {**environment, "GROOVEMARK_HOME": str(tmp_path / "api")}, tmp_path / "api.log")
    worker = start_groovemark(
        "worker", {**environment, "GROOVEMARK_HOME": str(tmp_path / "worker")}, tmp_path / "worker.log"
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, tmp_path / "worker.log", (api, worker))
        yield Service(address, uri, tmp_path / "api" / "storage", api.pid, worker.pid)
    finally:
        for process in (worker, api):
            process.terminate()
        for process in (worker, api):
            process.wait(30)


def test_table_audio_zip_and_results_go_through_a_bucket(service: Service) -> None:
    clips = distinct_clips(3, 1)
    first, *others = clips.items()
    with service.client(catalog="bucket") as api:
        posted = post_csv(api, echonest_csv(5))
        assert posted.json()["info"]["total_rows_added_to_db"] == 5
        answer = post_audio(api, {first[0]: first[1], "others.zip": zip_file(dict(others))})
        assert watch(api, answer.headers["location"])["counts"]["succeeded"] == 3
        results = api.get(answer.headers["location"].removeprefix("/api/v1") + "/results.parquet")
        assert pq.read_table(io.BytesIO(results.content)).column("external_id").to_pylist() == sorted(clips)
    assert broken_promises(service.database_uri, "bucket") == {}
    assert list((service.storage / "incoming").iterdir()) == []
