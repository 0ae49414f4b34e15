"""What `make run` prints."""

from pathlib import Path

import pytest

from qscpd.config.listen import Listeners
from tools.run_dev import local_server


@pytest.mark.parametrize(
    ("listen", "server"),
    [
        ("127.0.0.1:7727, [::1]:7727", "localhost:7727"),
        ("[::1]:7727", "[::1]:7727"),
        ("192.0.2.7:1, [::]:2, 0.0.0.0:3", "localhost:3"),
        ("localhost:8", "localhost:8"),
        ("*:9", "localhost:9"),
        ("192.0.2.7:1", "192.0.2.7:1"),
        ("chat.example:1", "chat.example:1"),
    ],
)
def test_clients_on_this_machine_get_an_address_that_is_served(listen: str, server: str) -> None:
    """Loopback comes first, because the certificate is always for it."""
    assert str(local_server(Listeners().parse(listen, Path()))) == server
