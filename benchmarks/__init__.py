"""How fast mqjobs is, beside its peers and on the same work: `python -m benchmarks run`."""
