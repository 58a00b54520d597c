"""A sound file was once blamed for deaths of its worker: each time it was tried beside the one that was to blame."""

from __future__ import annotations

import asyncio

import pytest

from groovemark.solitude import Solitude


class Diary:
    """What begins and ends, in order."""

    def __init__(self, solitude: Solitude) -> None:
        self.solitude = solitude
        self.lines: list[str] = []

    async def work(self, name: str, goes_on: asyncio.Event) -> None:
        async with self.solitude.shared():
            self.lines.append(f"{name} begins")
            await goes_on.wait()
            self.lines.append(f"{name} ends")

    async def try_alone(self, name: str, goes_on: asyncio.Event, *, times: int = 1) -> None:
        async with self.solitude.shared():
            for _ in range(times):
                async with self.solitude.alone():
                    self.lines.append(f"{name} is alone")
                    await goes_on.wait()
                    self.lines.append(f"{name} is done")


@pytest.fixture
def diary() -> Diary:
    return Diary(Solitude())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_jobs_work_side_by_side(diary: Diary) -> None:
    gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name in ("a", "b"):
            group.create_task(diary.work(name, gate))
        await settle()
        assert diary.lines == ["a begins", "b begins"]
        gate.set()


async def test_what_may_end_the_worker_is_tried_when_others_have_ended_and_before_more_begin(diary: Diary) -> None:
    first, alone, later = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(diary.work("first", first))
        await settle()
        group.create_task(diary.try_alone("suspect", alone))
        await settle()
        group.create_task(diary.work("later", later))
        await settle()
        assert diary.lines == ["first begins"]
        first.set()
        await settle()
        assert diary.lines[1:] == ["first ends", "suspect is alone"]
        alone.set()
        await settle()
        assert diary.lines[3:] == ["suspect is done", "later begins"]
        later.set()


async def test_two_suspects_are_never_tried_at_once(diary: Diary) -> None:
    gate = asyncio.Event()
    gate.set()
    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "c"):
            group.create_task(diary.try_alone(name, gate, times=3))
    begun, done = diary.lines[::2], diary.lines[1::2]
    assert len(begun) == 9
    assert [line.replace("is alone", "is done") for line in begun] == done


async def test_one_that_gives_up_waiting_to_be_alone_keeps_nobody(diary: Diary) -> None:
    gate, never = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(diary.work("first", gate))
    await settle()
    suspect = asyncio.create_task(diary.try_alone("suspect", never))
    await settle()
    suspect.cancel()
    await asyncio.gather(suspect, return_exceptions=True)
    async with asyncio.timeout(5):
        gate_open = asyncio.Event()
        gate_open.set()
        await diary.work("later", gate_open)
        gate.set()
        await working
        await diary.try_alone("another", gate_open)
    assert diary.lines[-2:] == ["another is alone", "another is done"]
