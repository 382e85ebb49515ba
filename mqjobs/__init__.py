"""Message-queue consumers with jobs: PostgreSQL remembers, RabbitMQ carries."""

from mqjobs.app.app import App
from mqjobs.app.opening import OpenApp
from mqjobs.app.settings import Settings
from mqjobs.model import errors
from mqjobs.model.errors import MqjobsError, Redeliver
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.message import Message, Outgoing, Sent
from mqjobs.model.priority import Priority
from mqjobs.model.result import Result
from mqjobs.model.retry import Retry
from mqjobs.model.secrets import Secret
from mqjobs.model.status import JobStatus
from mqjobs.model.stopped import RootJobStopped
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.delayed_processor import DelayedProcessor
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.middleware import Middleware, Proceed
from mqjobs.processing.processor import Processor, TopicSubscriber
from mqjobs.processing.producer import Producer
from mqjobs.processing.running_job import RunningJob

__all__ = [
    "App",
    "Context",
    "DelayedProcessor",
    "Interruption",
    "Job",
    "JobRunner",
    "JobStatus",
    "Message",
    "Middleware",
    "MqjobsError",
    "OpenApp",
    "Outgoing",
    "Priority",
    "Proceed",
    "Processor",
    "Producer",
    "Redeliver",
    "Result",
    "Retry",
    "RootJobStopped",
    "RunningJob",
    "Secret",
    "Sent",
    "Settings",
    "Topic",
    "TopicSubscriber",
    "errors",
]
