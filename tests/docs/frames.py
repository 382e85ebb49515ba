"""What stands around a fragment, so that it is a whole program: named by `in=…` on the block's first line.

`open` runs it where `mq` is an open app and `pool` a pool of the caller's own; `process` in a processor, with `message`
and `context`; `split` in the callback of a unique job, with `runner` and `job` besides. Each belongs to a page that
makes up the package `shop`.
"""

import textwrap
from collections.abc import Mapping

IMPORTS = """
import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg

from mqjobs import *
from mqjobs.app.opening import consumer
from mqjobs.model.errors import *
from shop import app
from shop.topics import *
"""

OPEN = """
async def main():
    url = os.environ["MQJOBS_DATABASE_URL"]
    async with app.open() as mq, asyncpg.create_pool(url, min_size=1) as pool:
        await mq.database.execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint, paid boolean)"
        )
{fragment:8}

asyncio.run(main())
"""

RUN = """
async def consume_until_over():
    stop = asyncio.Event()
    own = App()
    own.subscribe(Framed())
    own.sends(OrderPaid, Reprice, RepriceProduct, CatalogueRepriced)
    async with (
        app.open(),
        consumer(own.settings, own.registry, own.middleware) as running,
        asyncio.TaskGroup() as group,
        own.open() as mq,
    ):
        group.create_task(running.run(stop))
        await mq.producer.send(Example())
        async with asyncio.timeout(30):
            await over.wait()
        stop.set()


over = asyncio.Event()
failures = []
asyncio.run(consume_until_over())
assert not failures, failures
"""

PROCESS = (
    """
class Example(Topic, name="example", queue="example"):
    pass


class Framed(Processor):
    topics = (Example,)

    async def process(self, message, context):
        try:
            await self.fragment(message, context)
        except Redeliver:
            raise
        except BaseException as error:
            failures.append(repr(error))
        over.set()
        return Result.ACK

    async def fragment(self, message, context):
{fragment:8}
"""
    + RUN
)

SPLIT = (
    """
class Example(Topic, name="example", queue="example"):
    def job_name(self):
        return "example"


class Framed(Processor):
    topics = (Example,)

    async def process(self, message, context):
        async def split(runner, job):
            try:
                await self.fragment(message, context, runner, job)
            except BaseException as error:
                failures.append(repr(error))
            over.set()
            return True

        return Result.of(await context.jobs.run_unique_by_message(message, split))

    async def fragment(self, message, context, runner, job):
{fragment:8}
"""
    + RUN
)

FRAMES: Mapping[str, str] = {"open": OPEN, "process": PROCESS, "split": SPLIT}


def framed(frame: str, fragment: str) -> str:
    """The program around this fragment."""
    inner = textwrap.indent(fragment, " " * 8)
    return IMPORTS + FRAMES[frame].replace("{fragment:8}", inner)
