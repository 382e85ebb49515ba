"""RabbitMQ behind the seam; `driver`, `stream`, `channel` and `connection` alone know the driver, aio-pika's."""

from mqjobs.transport.rabbitmq.opening import open_rabbitmq

__all__ = ["open_rabbitmq"]
