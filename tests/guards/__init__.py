"""Guards removed one by one: for each one a test has to fail. `python -m tests.guards` tries it."""
