"""Every setting of groovemark, read from the environment (env/*.env). Imported by main, worker and cli only."""

from __future__ import annotations

import ipaddress
import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from groovemark.errors import ConfigurationError

GIB = 1024**3
MIB = 1024**2
EXAMPLE_SECRET = "test"  # noqa: S105  known to everyone, which is the point
"""The secret of env/local.env, known to everyone: good on loopback alone."""


class Settings(BaseSettings):
    """Names here in capitals are the environment's; README.md lists them all."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", populate_by_name=True)

    groovemark_home: Path = Field(Path(".groovemark"), description="Where state lives: database and uploads.")
    postgres_uri: str | None = Field(
        None, description="user:pw@host:port/db or a full URL; replaces the embedded PostgreSQL."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(5000, ge=0, le=65535, description="Port the API listens on.")
    api_name: str = Field("Music Genre Services API", description="Name in the healthcheck's answer.")
    model_path: Path = Field(
        Path(__file__).parents[2] / "model", description="Folder of the models: <name>/<version>/manifest.json."
    )
    client_id: str | None = Field(None, min_length=1, max_length=128, description="Client upserted at start.")
    client_secret: str | None = Field(None, min_length=1, max_length=256, description="Its secret.")
    storage_path: str | None = Field(
        None,
        description="Where uploads lie, shared by API and workers: a folder or s3://bucket/prefix; "
        "GROOVEMARK_HOME/storage by default.",
    )
    uploads_kept_days: float = Field(
        30, ge=0, description="Uploaded files go so long after their batch has ended; 0 keeps them for ever."
    )
    batches_kept_days: float = Field(
        0, ge=0, description="Batches with results and errors go so long after their end; 0 keeps them for ever."
    )
    webhook_key: str | None = Field(
        None,
        min_length=32,
        description="From which the secrets of webhooks are derived, the same for API and workers; "
        "GROOVEMARK_HOME/webhook.key by default.",
    )
    fetch_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Networks beside the public internet that URLs and webhooks may lead to, with commas between."
    )
    fetch_s3_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Buckets and prefixes, s3://bucket/prefix, whose objects manifests may name, with commas between.",
    )
    fetch_file_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders of the workers' machines whose files manifests may name, with commas between."
    )
    require_worker: bool = Field(
        False, description="/ready answers 200 only while a worker with loaded models is alive."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level logged.")
    log_format: Literal["console", "json"] = Field("console", description="Log lines for people or for machines.")

    lease_s: float = Field(
        30.0, ge=1, description="A job whose worker was silent for this long is given to another worker."
    )
    attempts_max: int = Field(3, ge=1, description="A job that killed this many workers is failed.")
    audio_processes: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Processes that decode audio, per worker."
    )
    audio_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where features are computed from audio; auto takes a GPU if there is one."
    )
    feature_cache_bytes_max: int = Field(
        256 * MIB, ge=0, description="Disk for features of audio that may come again; 0 keeps none."
    )
    model_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Threads that run a model, per worker."
    )

    queue_items_max: int = Field(
        1_000_000, ge=1, description="With so many items waiting, over all batches, no more are taken in."
    )
    queue_client_share: float = Field(0.5, gt=0, le=1, description="The part of them that one client may have waiting.")

    csv_bytes_max: int = Field(4 * GIB, ge=1, description="Largest CSV, as sent and after decompression.")
    csv_rows_max: int = Field(2_000_000, ge=1, description="Most rows of a CSV.")
    audio_request_bytes_max: int = Field(4 * GIB, ge=1, description="Largest body of a request with audio.")
    audio_files_max: int = Field(1_000, ge=1, description="Most audio files of a request.")
    archive_files_max: int = Field(100_000, ge=1, description="Most files of a zip.")
    audio_file_bytes_max: int = Field(512 * MIB, ge=1, description="Largest audio file.")
    manifest_rows_max: int = Field(1_000_000, ge=1, description="Most rows of a manifest.")
    title_characters_max: int = Field(1_024, ge=1, description="Longest title.")
    cell_characters_max: int = Field(65_536, ge=1, description="Longest other cell of a CSV.")

    @property
    def storage_folder(self) -> Path:
        """On this machine's disk: the store itself, or what one on S3 needs of it."""
        if self.storage_path is None or self.storage_path.startswith("s3://"):
            return self.groovemark_home / "storage"
        return Path(self.storage_path)

    @property
    def storage_place(self) -> str:
        return self.storage_path or str(self.storage_folder)

    @property
    def listens_on_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @field_validator("fetch_allowed_networks", "fetch_s3_prefixes", "fetch_file_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("fetch_file_roots")
    @classmethod
    def _are_absolute(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        for root in roots:
            if not root.is_absolute():
                raise ConfigurationError(f"FETCH_FILE_ROOTS: {root} must be a whole path, beginning with /.")
        return roots

    @model_validator(mode="after")
    def _client_is_whole(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ConfigurationError("CLIENT_ID and CLIENT_SECRET belong together: set both or neither.")
        return self

    def refuse_example_secret(self) -> None:
        """The API calls this before it listens. Raises ConfigurationError."""
        if self.client_secret == EXAMPLE_SECRET and not self.listens_on_loopback:
            raise ConfigurationError(
                f"CLIENT_SECRET is '{EXAMPLE_SECRET}', which everyone knows, and HOST={self.host} is reachable from "
                "outside. Set a secret of your own, or HOST=127.0.0.1."
            )
