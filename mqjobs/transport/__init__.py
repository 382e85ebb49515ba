"""What carries messages from the outbox to the consumers: RabbitMQ, or PostgreSQL itself."""
