"""What runs: the consumer's loop, an attempt from delivery to acknowledgement, and the services beside it."""
