"""Server addresses as typed by users."""

import pytest

from qscp import DEFAULT_PORT
from qscp_client.net.address import ServerAddress, parse_server


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", DEFAULT_PORT),
        ("chat.example.org:7000", "chat.example.org", 7000),
        (" 192.0.2.1:1 ", "192.0.2.1", 1),
        ("::1", "::1", DEFAULT_PORT),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("[::1]", "::1", DEFAULT_PORT),
    ],
)
def test_addresses_are_parsed(text: str, host: str, port: int) -> None:
    """Names and addresses are parsed, with and without a port."""
    assert parse_server(text) == ServerAddress(host, port)


@pytest.mark.parametrize(
    "text", ["", ":7727", "a b", "host:x", "host:0", "host:65536", "host:1:2", "host:\u0661"]
)
def test_an_invalid_address_is_refused(text: str) -> None:
    """An invalid address is refused with a reason."""
    with pytest.raises(ValueError, match=r"has no host|is not a port"):
        parse_server(text)


@pytest.mark.parametrize("text", ["localhost:7727", "[::1]:7727"])
def test_an_address_round_trips(text: str) -> None:
    """A parsed address is formatted as it was typed."""
    assert str(parse_server(text)) == text
