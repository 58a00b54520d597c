from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from groovemark.errors import AudioRejected, ConfigurationError, Unavailable
from groovemark.ml.audio.sandbox import Sandbox


@pytest.fixture
def sandbox(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    made = []

    def make(**limits):
        made.append(Sandbox("hostile_target:run", **limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_features_title_and_duration_come_back_bit_for_bit(sandbox):
    features = sandbox().call("/music/song.mp3", "gtzan-57")
    assert features.windows.tobytes() == np.array([[1.5, -0.25, 1e-30]], dtype=np.float32).tobytes()
    assert (features.title, features.duration_s) == ("song.mp3 gtzan-57", 12.5)


def test_names_that_are_not_utf_8_reach_the_child(sandbox):
    name = "caf\udce9 \n ☃.mp3"
    assert sandbox().call(f"/music/{name}", "fma-42").title == f"{name} fma-42"


@pytest.mark.parametrize("file", ["crash", "exit", "raise", "nan"])
def test_a_file_that_breaks_its_process_fails_alone_and_the_next_succeeds(sandbox, file):
    shared = sandbox()
    with pytest.raises(AudioRejected) as caught:
        shared.call(f"/music/{file}", "fma-42")
    assert caught.value.reason == "decoder_crashed"
    assert shared.call("/music/fine", "fma-42").title == "fine fma-42"


def test_a_rejection_keeps_its_reason_and_costs_no_process(sandbox):
    shared = sandbox()
    shared.warm()
    before = psutil.Process().children()
    with pytest.raises(AudioRejected) as caught:
        shared.call("/music/reject", "fma-42")
    assert (caught.value.reason, caught.value.message) == ("too_short", "The audio lasts 0.10 s.")
    shared.call("/music/fine", "fma-42")
    assert psutil.Process().children() == before


@pytest.mark.parametrize(("file", "limits"), [("spin", {"cpu_s": 1}), ("sleep", {"wall_s": 0.5})])
def test_a_file_that_hangs_its_process_is_timed_out_and_the_next_succeeds(sandbox, file, limits):
    shared = sandbox(**limits)
    shared.warm()
    with pytest.raises(AudioRejected) as caught:
        shared.call(f"/music/{file}", "fma-42")
    assert caught.value.reason == "decoder_timed_out"
    assert shared.call("/music/fine", "fma-42").duration_s == 12.5


def test_the_processor_time_of_earlier_files_does_not_count(sandbox):
    shared = sandbox(cpu_s=1)
    for _ in range(4):
        assert shared.call("/music/busy", "fma-42").duration_s == 12.5


def test_a_file_that_swells_its_process_beyond_the_limit_fails_alone(sandbox):
    shared = sandbox(memory_bytes=1 << 30)
    with pytest.raises(AudioRejected) as caught:
        shared.call("/music/swell", "fma-42")
    assert caught.value.reason == "decoder_crashed"
    assert "memory" in caught.value.message
    assert shared.call("/music/fine", "fma-42").duration_s == 12.5


def test_what_a_library_prints_is_not_taken_for_an_answer(sandbox):
    shared = sandbox()
    for _ in range(2):
        assert shared.call("/music/chatter", "fma-42").title == "chatter fma-42"


def test_the_child_can_neither_connect_nor_run_nor_write_nor_remove(sandbox, tmp_path):
    file = tmp_path / "attempts"
    file.touch()
    assert sandbox().call(file, "fma-42").title == "socket,program,write,remove,rename"
    assert file.exists()


def test_the_child_sees_no_secret_of_the_parents_environment(sandbox, monkeypatch):
    monkeypatch.setenv("POSTGRES_URI", "secret")
    monkeypatch.setenv("CLIENT_SECRET", "secret")
    title = sandbox().call("/music/environment", "fma-42").title
    assert "POSTGRES_URI" not in title
    assert "CLIENT_SECRET" not in title
    assert "OMP_NUM_THREADS" in title


def test_threads_share_the_processes_and_get_their_own_answers(sandbox):
    shared = sandbox(processes=2)
    names = [f"{kind}-{number}" for number in range(6) for kind in ("slow", "crash", "fine")]

    def ask(name):
        try:
            return shared.call(f"/music/{name}", "fma-42").title
        except AudioRejected as error:
            return f"{name} {error.reason}"

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, names))
    assert answers == [f"{n} decoder_crashed" if n.startswith("crash") else f"{n} fma-42" for n in names]


def test_closing_fails_the_call_under_way_and_leaves_no_process(sandbox):
    before = psutil.Process().children()
    shared = sandbox()
    shared.warm()
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(shared.call, "/music/sleep", "fma-42") for _ in range(2)]
        time.sleep(0.2)
        shared.close()
        for call in calls:
            with pytest.raises(Unavailable):
                call.result(timeout=10)
    with pytest.raises(Unavailable):
        shared.call("/music/fine", "fma-42")
    assert set(psutil.Process().children()) <= set(before)


def test_a_target_that_cannot_be_loaded_is_the_operators_error():
    with Sandbox("groovemark.ml.no_such_module:run") as one, pytest.raises(ConfigurationError, match="no_such"):
        one.warm()


def test_children_die_with_a_killed_parent_even_in_the_middle_of_a_file(tmp_path):
    script = (
        "import os, psutil, threading, time\n"
        "from groovemark.ml.audio.sandbox import Sandbox\n"
        "box = Sandbox('hostile_target:run')\n"
        "box.warm()\n"
        "threading.Thread(target=box.call, args=('/music/spin', 'fma-42')).start()\n"
        "time.sleep(0.3)\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        check=False,
    )
    child = int(parent.stdout)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def test_the_parent_loads_neither_torch_nor_a_decoder():
    script = (
        "import sys, groovemark.ml.predict, groovemark.ml.audio.sandbox\n"
        "print([name for name in ('torch', 'soundfile', 'av', 'soxr') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
