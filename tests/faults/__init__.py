"""The fault suite: a load on real consumers and servers, faults in between, and a ledger that shows what came of it.

    python -m tests.faults run --duration 60 --seed 1 --faults kill,freeze

- `ledger` is what is written outside the database: a line for each send, each run's start and end, each fault. One
  file for each process, so that a killed one leaves what it wrote.
- `topics` and `app` are the load's application, `load` its sender and steerer, a process of their own.
- `arena` is where it happens: servers, consumers as processes (`Consumers`), the ledger. A consumer that cannot say
  that it lives (frozen, cut off, starved) is `detached` in the ledger, and its runs may be overtaken meanwhile.
- `records` is what the database says at the end, `checker` holds it against the ledger: `check(events, records)`
  gives the counts, of which the forbidden ones must be 0. `logs` looks for what no consumer may write.
- `plan` lists the faults by name: a fault is `async def fault(arena, chance, over)` that does harm until `over` is
  set, and has then made everything whole again. `processes` has those to processes, `rabbitmq`, `postgres` and `disks`
  those to servers, `network` those between, `lost_answers` what was done without anybody hearing so.
- Harm to a server is a context manager, the block the time of harm; `harm` makes faults of it that do it again and
  again, `trial` is the short form for tests, which also takes the time until every consumer works again. `wires` lie
  between the run's processes and its servers where a fault needs them.
- `report` writes the numbers of runs, and the page about reliability from them.
"""
