"""Every notebook runs from its first cell to its last, on small invented data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tiny_data import write_tiny_data

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[2] / "notebook"
SMALLER: dict[str, dict[str, Any]] = {
    # UMAP compiles for longer than everything else here takes, and the encoder is an extra.
    "exploratory_data_analysis": {"ENCODER": "", "WITH_UMAP": False},
    "tuning": {"ROUNDS": 2, "TREES": 2, "TRIALS": 2, "SHARES": (1.0,)},
}
LARGEST_BYTES = 1_000_000


def test_every_notebook_is_run_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SMALLER)


@pytest.mark.parametrize("name", SMALLER)
def test_a_notebook_runs_on_invented_data(name: str, tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    changes = {"DATA": str(write_tiny_data(tmp_path)), **SMALLER[name]}
    _give_parameters(notebook, changes)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    # Transport by files: the kernel and the test speak without a port. One thread, as tests run beside each other.
    client.create_kernel_manager()
    client.km.transport, client.km.ip = "ipc", str(tmp_path / "kernel")
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", SMALLER)
def test_a_stored_notebook_holds_the_pictures_of_one_whole_run_and_stays_small(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    assert path.stat().st_size < LARGEST_BYTES


def _give_parameters(notebook: Any, changes: dict[str, Any]) -> None:
    """After the cell tagged `parameters`, as papermill does; each name must be one of that cell's."""
    place, cell = next(
        (place, cell) for place, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())
    )
    assert all(f"\n{name} = " in cell.source for name in changes)
    lines = [f"{name} = {value!r}" for name, value in changes.items()]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
