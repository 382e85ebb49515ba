"""How fast mqjobs is, beside a loop over aio-pika that does the same work: `python -m benchmarks run`."""
