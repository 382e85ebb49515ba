"""What runners and producers are built with; one for each open app."""

from dataclasses import dataclass
from datetime import timedelta

from mqjobs.model.tally import Tally
from mqjobs.processing.attempt import Runs
from mqjobs.processing.envelopes import EnvelopeMaker
from mqjobs.processing.stale_times import StaleTimes
from mqjobs.store.job_store import JobStore


@dataclass(frozen=True, slots=True)
class Services:
    """The store, the runs held, and the rules that hold for all messages."""

    store: JobStore
    runs: Runs
    envelopes: EnvelopeMaker
    stale_times: StaleTimes
    redelivery_delay: timedelta

    @property
    def tally(self) -> Tally:
        """What this process has counted."""
        return self.store.tally
