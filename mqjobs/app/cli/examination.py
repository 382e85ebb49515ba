"""A look at the servers: are they there, are they as this app needs them."""

from collections.abc import Sequence

from mqjobs.app.cli.findings import Findings
from mqjobs.app.opening import database
from mqjobs.app.settings import Settings
from mqjobs.app.transports import transport_of
from mqjobs.model.errors import MqjobsError
from mqjobs.model.message import Binding
from mqjobs.processing.registry import Registry
from mqjobs.store import job_reports, migrations
from mqjobs.store.database import Connection, Pool, forbidden, is_forbidden, without_password
from mqjobs.store.messages import bindings
from mqjobs.transport.rabbitmq import open_rabbitmq
from mqjobs.transport.seam import Transport

TIMEOUT = (
    "not checked, for a broker does not tell it over AMQP. RabbitMQ's own is 30 min; read yours with "
    "rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).' A message that its processor holds for "
    "longer is delivered once more: where it has a job, the copy is parked while the job runs, and nothing runs "
    "twice; where it has none, it is acted on twice, so give long work a job"
)


class Examination:
    """Of the servers in these settings, for the app with this registry."""

    def __init__(self, findings: Findings, settings: Settings, registry: Registry) -> None:
        self._findings = findings
        self._settings = settings
        self._registry = registry

    async def run(self) -> None:
        """Look at the database and all that is in it, then at the broker."""
        is_rabbitmq = (self._settings.broker_url or "").startswith(("amqp:", "amqps:"))
        try:
            async with database(self._settings) as pool:
                is_usable = await self._examine_database(pool)
                if not is_rabbitmq:
                    await self._examine_queues_in(pool, is_usable)
        except MqjobsError as error:
            self._findings.bad("database", error)
            if not is_rabbitmq:
                self._findings.open("broker", "not checked: the queues are in the database")
        if is_rabbitmq:
            await self._examine_rabbitmq()

    async def _examine_database(self, pool: Pool) -> bool:
        """Whether its schema is the one to work on."""
        async with pool.acquire() as connection:
            version = connection.get_server_version()
            url = self._settings.database_url
            where = f"at {without_password(url)}" if url else f"in {self._settings.data_dir}"
            self._findings.good("database", f"PostgreSQL {version.major}.{version.micro} {where}")
            try:
                await migrations.check(connection)
            except MqjobsError as error:
                self._findings.bad("schema", error)
                return False
            newest = migrations.migrations()[-1].version
            self._findings.good("schema", f"version {newest}, the one that this mqjobs works on")
            await self._examine_bindings(await bindings(connection))
            await self._examine_consumers(connection)
            return True

    async def _examine_bindings(self, bound: Sequence[Binding]) -> None:
        """A queue that this app consumes may not take topics that no processor of it takes."""
        queues = self._registry.queues()
        if not queues:
            return
        orphaned = [
            each
            for each in bound
            if each.queue in queues and self._registry.processor(each.queue, each.topic) is None
        ]
        if orphaned:
            pairs = ", ".join(f"{each.topic} from queue {each.queue}" for each in orphaned)
            self._findings.bad(
                "bindings",
                MqjobsError(
                    f"no processor of this app takes {pairs}, though the queue does: such messages become dead "
                    "letters; subscribe a processor, or delete the rows of mqjobs.binding"
                ),
            )
        else:
            self._findings.good(
                "bindings", "every topic that the app's queues take has a processor"
            )

    async def _examine_consumers(self, connection: Connection) -> None:
        try:
            known = await job_reports.consumers(connection, jobs_each=0)
        except Exception as error:
            if not is_forbidden(error):
                raise
            self._findings.open("consumers", f"not checked: {forbidden(error)}")
            return
        alive = [one for one in known if one.is_alive]
        consumed = {queue for one in alive for queue in one.queues}
        idle = [queue for queue in self._registry.queues() if queue not in consumed]
        if idle:
            self._findings.open(
                "consumers", f"{len(alive)} alive; nobody consumes {', '.join(idle)}"
            )
        elif alive:
            self._findings.good(
                "consumers", f"{len(alive)} alive, every queue of the app is consumed"
            )
        else:
            self._findings.open("consumers", "none alive")

    async def _examine_queues_in(self, pool: Pool, is_usable: bool) -> None:
        try:
            async with transport_of(self._settings, pool) as transport:
                self._findings.good(
                    "broker", "the queues are in PostgreSQL, no other broker is needed"
                )
                if is_usable:
                    await self._examine_queues(transport)
            self._findings.good("acknowledgements", "queues in PostgreSQL have no timeout for them")
        except MqjobsError as error:
            self._findings.bad("broker", error)

    async def _examine_rabbitmq(self) -> None:
        url = self._settings.broker_url or ""
        opening = open_rabbitmq(
            url,
            exchange=self._settings.exchange,
            queue_type=self._settings.queue_type,
            connect_timeout=self._settings.connect_timeout,
        )
        try:
            async with opening as transport:
                self._findings.good("broker", f"RabbitMQ answers at {without_password(url)}")
                await self._examine_queues(transport)
        except MqjobsError as error:
            self._findings.bad("broker", error)
        self._findings.open("acknowledgements", TIMEOUT)

    async def _examine_queues(self, transport: Transport) -> None:
        queues = self._registry.queues()
        if not queues:
            return
        there = {state.name for state in await transport.queue_states(queues)}
        missing = [queue for queue in queues if queue not in there]
        if missing:
            text = f"not there yet: {', '.join(missing)}; the app's first consumer declares them"
            self._findings.open("queues", text)
        else:
            self._findings.good("queues", f"all of the app's are there: {', '.join(queues)}")
