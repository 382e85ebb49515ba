"""The page has every reason for which a message may be a dead letter, and no other."""

import re

from mqjobs.model.message import DEAD_REASONS
from tests.docs.pages import page_at


def test_the_page_has_the_reasons_of_dead_letters() -> None:
    _, _, rest = page_at("docs/concepts.md").prose.partition("| reason | when |")
    table, _, _ = rest.strip().partition("\n\n")

    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(DEAD_REASONS)
