"""The dead letters: messages that nobody could handle, and what operators do with them."""

from collections.abc import Sequence

from mqjobs.processing.asking import ask
from mqjobs.processing.services import Services
from mqjobs.store import dead_letters
from mqjobs.store.dead_letters import KeptLetter, LettersWanted, Replayed


class DeadLetters:
    """Every dead letter there is.

    Calls raise DatabaseUnavailable where PostgreSQL stays away, MessageError where no dead letter has the id.
    """

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._stale_after = services.stale_times.of

    async def list(
        self,
        *,
        topic: str | None = None,
        queue: str | None = None,
        reason: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[KeptLetter]:
        """Dead letters, the newest first; the next page is from `before` the last id on."""
        wanted = LettersWanted(topic, queue, reason, before, limit)
        return await ask(self._store, lambda each: dead_letters.dead_letters(each, wanted))

    async def ids(
        self,
        *,
        topic: str | None = None,
        queue: str | None = None,
        reason: str | None = None,
        limit: int | None = None,
    ) -> Sequence[int]:
        """The ids of all these dead letters, or of so many, the oldest first."""
        wanted = LettersWanted(topic, queue, reason, limit=limit)
        return await ask(self._store, lambda each: dead_letters.dead_letter_ids(each, wanted))

    async def get(self, letter_id: int) -> KeptLetter:
        """The dead letter of this id."""
        return await ask(self._store, lambda each: dead_letters.dead_letter(each, letter_id))

    async def replay(self, letter_id: int) -> Replayed:
        """The message is on its way again, whenever it was to expire, and the job that failed under it is retried.

        Where its root job is stale, or was cancelled before anybody started it, the message is sent once more, under
        a new id and with a new root job. Raises RetryRefused where the job cannot run; then nothing has changed.
        """
        replayed = await ask(
            self._store, lambda each: dead_letters.replay(each, letter_id, self._stale_after)
        )
        self._store.wake()
        return replayed

    async def drop(self, *letter_ids: int) -> int:
        """These dead letters are gone for good; how many there were."""
        return await ask(self._store, lambda each: dead_letters.drop(each, letter_ids))
