"""The processors of the documentation index: split a collection, index a module, count."""

import asyncio
from pathlib import Path

from consumers import index
from consumers.modules import Module, find_modules, roots_of
from consumers.parsing import read_documents
from mqjobs import Context, Job, JobRunner, Message, Processor, Result
from topics.search import IndexModule, RefreshStatistics, ReindexDocs


class ReindexDocsProcessor(Processor):
    """Rebuilds a collection: one child job per module, the statistics when all have ended."""

    topics = (ReindexDocs,)

    async def process(self, message: Message[ReindexDocs], context: Context) -> Result:
        collection = message.body.collection

        async def split(runner: JobRunner, job: Job) -> bool:
            modules = await asyncio.to_thread(find_modules, roots_of(collection))
            await index.create_schema(context.database)
            await index.forget_other_modules(context.database, collection, modules)
            await runner.add_dependent(RefreshStatistics(collection=collection))
            await runner.create_delayed_many(
                (
                    f"index:{module.name}",
                    IndexModule(collection=collection, module=module.name, path=str(module.path)),
                )
                for module in modules
            )
            return True

        return Result.of(await context.jobs.run_unique_by_message(message, split))


class IndexModuleProcessor(Processor):
    """Indexes one module; a source that cannot be parsed fails the job, and says where and why."""

    topics = (IndexModule,)

    async def process(self, message: Message[IndexModule], context: Context) -> Result:
        module = Module(message.body.module, Path(message.body.path))

        async def read(runner: JobRunner, job: Job) -> bool:
            documents = await asyncio.to_thread(read_documents, module)
            await index.replace_module(context.database, message.body.collection, module, documents)
            return True

        return Result.of(await context.jobs.run_delayed_by_message(message, read))


class RefreshStatisticsProcessor(Processor):
    """Counts what the index holds of a collection; it needs no job, so it knows nothing of jobs."""

    topics = (RefreshStatistics,)

    async def process(self, message: Message[RefreshStatistics], context: Context) -> Result:
        await index.refresh_statistics(context.database, message.body.collection)
        return Result.ACK
