"""What can go wrong, as one tree.

MqjobsError
├── ConfigurationError        a setting, an app, a topic or a subscription is wrong
│   └── SchemaMismatch        the database's schema is not the one this version works on
├── ServerUnavailable
│   ├── BrokerUnavailable     the message broker does not answer
│   └── DatabaseUnavailable   PostgreSQL does not answer
├── MessageError
│   ├── InvalidMessage        a body, header, size or option breaks a rule; nothing was sent
│   ├── UnknownTopic          no topic class has that name
│   └── Unroutable            no queue takes that topic, or the queue is not there
├── Forbidden                 the role that we have in the database may not do that; nothing was done
└── JobError
    ├── InvalidJobName        empty, over 255 characters, or with a NUL
    ├── UnknownJob            no job has that id
    ├── NotInUniqueJob        a call that only a running unique job may make
    ├── NotARootJob           a call that only a root job can be the object of
    ├── JobIsRunning          a live consumer runs it already; the message is parked
    ├── DeclaredDead          this consumer is dead to all others and claims nothing; the message is parked
    ├── JobIsStale            its name went to a newer job; the message is rejected
    ├── LeaseLost             the run is no longer the job's; nothing was written
    └── RetryRefused          an operator's retry of a job that cannot be retried

Redeliver is not an error: a processor raises it to ask for the message again.
"""

from datetime import timedelta

LONGEST_WAIT = timedelta(days=3650)


class MqjobsError(Exception):
    """The root of the tree; its text names the thing and the remedy."""


class ConfigurationError(MqjobsError):
    """A setting, an app, a topic or a subscription is wrong."""


class SchemaMismatch(ConfigurationError):
    """The database's schema is not the one this version works on."""


class ServerUnavailable(MqjobsError):
    """A server does not answer."""


class BrokerUnavailable(ServerUnavailable):
    """The message broker does not answer."""


class DatabaseUnavailable(ServerUnavailable):
    """PostgreSQL does not answer."""


class MessageError(MqjobsError):
    """A message cannot be sent, or cannot be read."""


class InvalidMessage(MessageError):
    """A body, header, size or option breaks a rule; nothing was sent."""


class UnknownTopic(MessageError):
    """No topic class has that name."""


class Unroutable(MessageError):
    """No queue takes that topic, or the queue is not there."""


class Forbidden(MqjobsError):
    """The role that we have in the database may not do that; nothing was done."""


class JobError(MqjobsError):
    """A job cannot do what was asked."""


class InvalidJobName(JobError):
    """A job's name is empty, over 255 characters, has a NUL, or is its root's own."""


class UnknownJob(JobError):
    """No job has that id."""


class NotInUniqueJob(JobError):
    """Only the runner that a unique job's callback was handed may make this call."""


class NotARootJob(JobError):
    """Only a root job can be the object of this call."""


class JobIsRunning(JobError):
    """A live consumer runs the job already: the message is parked, whatever the processor returns."""


class DeclaredDead(JobError):
    """This consumer is dead to all others until it beats again: it can claim no job, and the message is parked."""


class JobIsStale(JobError):
    """The job's name went to a newer job: the message is rejected, whatever the processor returns."""


class LeaseLost(JobError):
    """The run is no longer the job's: nothing was written, and nothing that it writes will be."""


class RetryRefused(JobError):
    """The job has not failed, or its name is taken by an active job."""


class Redeliver(Exception):
    """Raised by a processor or a job's callback: the message comes again after a delay.

    `after` is a timedelta or seconds, up to 10 years; without it the `redelivery_delay` setting holds (10 s).
    """

    def __init__(self, after: timedelta | float | None = None) -> None:
        super().__init__("the processor asked for redelivery")
        self.after = timedelta(seconds=after) if isinstance(after, int | float) else after
        if self.after is not None and not timedelta(0) <= self.after <= LONGEST_WAIT:
            raise ValueError(f"Redeliver(after={after!r}): give 0 s to 10 years")
