"""What a router tells of its keys, its certificate and its log has words in a story."""

import pytest

from mcml.core.clock import utc_now
from mcml.incident.words import say
from mcml.store.journal import Entry

WORDS = {
    "route.key_added": "API key web added by ann@host",
    "route.key_rotated": "API key web rotated by ann@host, the old one holds until 2026-11-23T09:00:00Z",
    "route.key_revoked": "API key web revoked by ann@host",
    "route.certificate_renewed": "the router's certificate was renewed; it ends 2027-01-01T00:00:00Z",
    "route.certificate_refused": "the router keeps its certificate: cannot use tls/router.pem",
    "route.certificate_ends": "the router's certificate is about to end: 2027-01-01T00:00:00Z",
    "route.log_lost": "the router's access log cannot be written; lines are lost, requests are not",
}
FACTS = {
    "key": "web",
    "old_until": "2026-11-23T09:00:00Z",
    "ends": "2027-01-01T00:00:00Z",
    "reason": "cannot use tls/router.pem",
}


@pytest.mark.parametrize("kind", WORDS)
def test_it_is_said_in_words(kind: str) -> None:
    assert say(Entry(1, utc_now(), "ann@host", "route", "", kind, FACTS, "", "")) == WORDS[kind]
