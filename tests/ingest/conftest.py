"""Where files are fetched from."""

from __future__ import annotations

from tests.s3 import s3_environment, s3_place

__all__ = ["s3_environment", "s3_place"]
