"""A shipped model whose network the operator has not imported."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.inputs import audio_file
from tests.posting import post_audio

MODELS = Path(__file__).parents[2] / "model"


@pytest.mark.skipif((MODELS / "musicnn").exists(), reason="MusiCNN was imported into this checkout")
def test_it_is_not_offered_and_the_worker_serves_the_others(api: httpx.Client) -> None:
    assert (MODELS / "gtzan-musicnn" / "1" / "manifest.json").exists()
    assert httpx.get(str(api.base_url.copy_with(path="/ready"))).status_code == httpx.codes.OK  # a worker is there
    answer = post_audio(api, {"a.wav": audio_file()}, model="gtzan-musicnn")
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    installed = answer.json()["detail"].split("installed are ")[1]
    assert "gtzan-10@1" in installed
    assert "musicnn" not in installed
