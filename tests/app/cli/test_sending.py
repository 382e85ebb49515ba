import pytest

from mqjobs.store.interrupts import interrupt
from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs


async def test_a_message_is_sent_with_its_job(shell: Shell, stored: StoredJobs) -> None:
    ran = await shell("send", "shop.reindex", '{"collection": "spring"}', "--json")

    assert (ran.code, ran.err) == (0, "")
    row = await stored.connection.fetchrow(
        "SELECT id, owner_id, name FROM mqjobs.job WHERE root_id IS NULL"
    )
    assert row is not None
    assert row["name"] == "shop.reindex:spring"
    assert ran.json == {"message_id": row["owner_id"], "job_id": row["id"], "blocked_by": None}


async def test_a_message_is_sent_with_what_the_flags_say(shell: Shell, stored: StoredJobs) -> None:
    ran = await shell(
        *("send", "shop.price", "-", "--priority", "very_low", "--delay", "60"),
        *("--expires-in", "120", "--header", "tenant=7", "--header", "empty="),
        given='{"amount": 3}',
    )

    assert (ran.code, ran.err) == (0, "")
    row = await stored.connection.fetchrow(
        """SELECT *, round(extract(epoch FROM available_at - sent_at)) AS delay,
                  round(extract(epoch FROM expires_at - sent_at)) AS expires_in FROM mqjobs.message"""
    )
    assert row is not None
    assert ran.out == f"sent shop.price: message {row['message_id']}\n"
    assert (row["queue"], row["body"], row["priority"]) == ("prices", b'{"amount":3}', 0)
    assert (row["delay"], row["expires_in"]) == (60, 120)
    assert row["headers"] == {"tenant": "7", "empty": ""}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["shop.price", '{"amount": 3'], "the body is not a message of shop.price: Invalid JSON"),
        (
            ["shop.price", '{"amount": "a"}'],
            "the body is not a message of shop.price: field amount",
        ),
        (["shop.price", '{"amont": 3}'], "the body is not a message of shop.price: field amont"),
        (["shop.price", "[]"], "the body is not a message of shop.price"),
        (["shop.reindex"], "the body is not a message of shop.reindex: field collection"),
        (["shop.prize", "{}"], "there is no topic 'shop.prize'; did you mean shop.price?"),
        (["shop.price", "--header", "a=\u00e4" * 200], "header a of a message of shop.price"),
        (["shop.price", "--header", "a b=c"], "header 'a b' of a message of shop.price"),
        (["shop.reindex", '{"collection": "%s"}' % ("a" * 300)], "job name 'shop.reindex:aaa"),
    ],
)
async def test_bad_input_gets_one_clear_error_and_nothing_is_sent(
    shell: Shell, stored: StoredJobs, words: list[str], error: str
) -> None:
    ran = await shell("send", *words)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Error: {error}")
    assert ran.err.count("\n") == 1
    counted = "SELECT (SELECT count(*) FROM mqjobs.job) + (SELECT count(*) FROM mqjobs.message)"
    assert await stored.connection.fetchval(counted) == 0


async def test_a_message_that_is_too_large_is_refused(shell: Shell) -> None:
    ran = await shell("send", "shop.price", MQJOBS_MAX_MESSAGE_BYTES="100")
    assert ran.code == 0
    words = ["send", "shop.reindex", '{"collection": "%s"}' % ("a" * 100)]
    ran = await shell(*words, MQJOBS_MAX_MESSAGE_BYTES="100")
    assert ran.code == 2
    assert "100 are allowed" in ran.err


async def test_a_topic_that_no_queue_takes_is_an_error(shell: Shell) -> None:
    ran = await shell("send", "shop.told")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: no queue takes shop.told")


async def test_a_wrong_header_is_a_usage_error(shell: Shell) -> None:
    ran = await shell("send", "shop.price", "--header", "tenant")
    assert ran.code == 2
    assert "'tenant' is not of the form NAME=VALUE" in ran.err


async def test_a_name_that_is_taken_blocks_the_message(shell: Shell, stored: StoredJobs) -> None:
    words = ("send", "shop.reindex", '{"collection": "spring"}')
    job_id = (await shell(*words, "--json")).json["job_id"]

    ran = await shell(*words)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"Error: nothing was sent: root job {job_id} is active and has the name\n"
    ran = await shell(*words, "--json")
    assert (ran.code, ran.json["blocked_by"]) == (1, job_id)

    async with stored.connection.transaction():
        await interrupt(stored.connection, job_id)
    assert (await shell(*words)).code == 0
