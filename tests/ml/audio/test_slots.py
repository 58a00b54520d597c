from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from groovemark.errors import Unavailable
from groovemark.ml.audio.slots import Abandoned, FairSlots


def test_a_lane_that_begins_is_served_before_all_that_another_has_in_store():
    slots, served = FairSlots([None]), []
    slots.take("old")

    def use(lane):
        slot = slots.take(lane)
        served.append(lane)
        slots.give(slot, lane, used_s=2.0)

    with ThreadPoolExecutor(8) as threads:
        old = [threads.submit(use, "old") for _ in range(4)]
        time.sleep(0.05)
        new = [threads.submit(use, "new") for _ in range(3)]
        time.sleep(0.05)
        slots.give(None, "old", used_s=10.0)
        for future in (*old, *new):
            future.result(timeout=10)
    assert served == ["new"] * 3 + ["old"] * 4


def test_equal_lanes_take_turns_however_much_each_has_in_store():
    slots, served = FairSlots([None]), []
    slots.take("gate")

    def use(lane):
        slot = slots.take(lane)
        served.append(lane)
        slots.give(slot, lane, used_s=5.0)

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(use, lane) for lane in ("a", "a", "a", "b", "b", "b")]
        time.sleep(0.05)
        slots.give(None, "gate", used_s=0.0)
        for future in futures:
            future.result(timeout=10)
    assert [{served[n], served[n + 1]} for n in (0, 2, 4)] == [{"a", "b"}] * 3


def test_whoever_stops_waiting_takes_no_slot():
    slots, stop = FairSlots([None]), Event()
    slot = slots.take("a")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(slots.take, "b", stop.is_set)
        stop.set()
        with pytest.raises(Abandoned):
            waiting.result(timeout=10)
    slots.give(slot, "a", used_s=1.0)
    assert slots.take_idle() == [None]


def test_closing_refuses_those_who_wait_and_brings_every_slot_back():
    slots = FairSlots([1, 2])
    slots.take("a")
    slots.take("a")
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(slots.take, "a")
        closing = threads.submit(slots.close)
        with pytest.raises(Unavailable):
            waiting.result(timeout=10)
        slots.give(1, "a", used_s=1.0)
        slots.give(2, "a", used_s=1.0)
        assert sorted(closing.result(timeout=10)) == [1, 2]
