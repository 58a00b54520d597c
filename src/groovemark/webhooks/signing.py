"""Secrets and signatures by the Standard Webhooks specification (https://www.standardwebhooks.com), version v1.

A receiver's secret is derived from the service's one key, so that none has to be stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from groovemark.errors import ConfigurationError

KEY_FILE = "webhook.key"
KEY_BYTES = 32


def load_key(configured: str | None, home: Path) -> bytes:
    """The service's key: the setting, else a file in `home` that is made on first use and is its owner's alone.

    Raises ConfigurationError when the file cannot be made or read.
    """
    if configured is not None:
        return configured.encode()
    path = home / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made or read ({error.strerror}); set WEBHOOK_KEY.") from error
    if len(key) < KEY_BYTES:
        raise ConfigurationError(f"{path} holds no key; remove it, or set WEBHOOK_KEY.")
    return key


def _make(path: Path) -> None:
    """Whole or not at all, and once: the API and the workers may start together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(KEY_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(new)
        except FileExistsError:
            return
    finally:
        new.unlink(missing_ok=True)


def secret_of(key: bytes, endpoint_id: uuid.UUID, number: int) -> bytes:
    """The endpoint's secret of that number: HMAC-SHA256 of its id and the number with the service's key."""
    return hmac.digest(key, b"groovemark webhook %s %d" % (endpoint_id.bytes, number), hashlib.sha256)


def hash_of(secret: bytes) -> bytes:
    """As the database keeps it: it tells whether two processes derive the same."""
    return hashlib.sha256(secret).digest()


def shown(secret: bytes) -> str:
    """As receivers get it."""
    return "whsec_" + base64.b64encode(secret).decode()


def sign(secrets_: Sequence[bytes], *, message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """The headers of a message; one signature for every secret that is good at present, the newest first."""
    timestamp = str(int(sent_at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets_)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
