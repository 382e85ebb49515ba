"""RabbitMQ behind the seam; `driver`, `channel` and `connection` alone know the driver, aio-pika."""

from mqjobs.transport.rabbitmq.opening import open_rabbitmq

__all__ = ["open_rabbitmq"]
