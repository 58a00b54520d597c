"""Every setting of groovemark, read from the environment (env/*.env). Imported by main, worker and cli only."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    storage_path: Path | None = Field(
        None, description="Folder of the uploads, shared by API and workers; GROOVEMARK_HOME/storage by default."
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
    model_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Threads that run a model, per worker."
    )

    csv_bytes_max: int = Field(4 * GIB, ge=1, description="Largest CSV, as sent and after decompression.")
    csv_rows_max: int = Field(2_000_000, ge=1, description="Most rows of a CSV.")
    audio_request_bytes_max: int = Field(4 * GIB, ge=1, description="Largest body of a request with audio.")
    audio_files_max: int = Field(1_000, ge=1, description="Most audio files of a request, or of a zip.")
    audio_file_bytes_max: int = Field(512 * MIB, ge=1, description="Largest audio file.")
    title_characters_max: int = Field(1_024, ge=1, description="Longest title.")
    cell_characters_max: int = Field(65_536, ge=1, description="Longest other cell of a CSV.")

    @property
    def storage_folder(self) -> Path:
        return self.storage_path or self.groovemark_home / "storage"

    @property
    def listens_on_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

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
