"""The log holds routes, never paths: a path may hold a key that a messenger put there."""

from collections.abc import Callable

import requests
from conftest import Site, share


def test_a_bent_link_leaves_neither_key_nor_id_in_the_log(serve: Callable[..., Site], picture: bytes) -> None:
    site = serve()
    made = share(site.url, picture)
    for kind, key in (("s", made["link_key"]), ("d", made["dashboard_key"])):
        for bent in (f"%23{key}", f"%23{key}/", f"/#{key}", f"%23{key}/view", f".{key}"):
            answer = requests.get(f"{site.url}/{kind}/{made['share_id']}{bent}", timeout=60)
            assert key not in answer.text
    log = site.log.read_text()
    assert "/s/{id}" in log
    assert "/d/{id}" in log
    for secret in (made["share_id"], made["link_key"], made["dashboard_key"]):
        assert secret not in log
