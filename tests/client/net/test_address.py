"""Server addresses as typed by users."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("2001:db8::10:1", "2001:db8::10:1", DEFAULT_PORT),
        ("[2001:db8::1:8000]", "2001:db8::1:8000", DEFAULT_PORT),
        ("fe80::1%eth0", "fe80::1%eth0", DEFAULT_PORT),
        ("[fe80::1%2]:7000", "fe80::1%2", 7000),
        ("Chat.Example.ORG:7727", "Chat.Example.ORG", 7727),
        ("chat.example.org.", "chat.example.org", DEFAULT_PORT),
        ("chat.example.org:", "chat.example.org", DEFAULT_PORT),
        ("my_host", "my_host", DEFAULT_PORT),
        ("m\u00fcller.example:7000", "m\u00fcller.example", 7000),
        ("chat.\u200bexample.org\ufeff", "chat.example.org", DEFAULT_PORT),
    ],
)
def test_addresses_are_parsed(text: str, host: str, port: int) -> None:
    """Names and addresses are parsed, with and without a port."""
    assert parse_server(text) == ServerAddress(host, port)


INVALID = {
    "": "has no host",
    ":7727": "has no host",
    ".": "has no host",
    "a b": "has a blank",
    "chat.example.org 7727": "has a blank",
    "host:x": '"x" is not a port; use 1 to 65535',
    "host:0": '"0" is not a port',
    "host:65536": '"65536" is not a port',
    "host:" + "9" * 5000: "is not a port",
    "host:\u0661": "is not a port",
    "host: 7727": "is not a port",
    "host:1:2": "has more than one colon and is no IPv6 address",
    "7727": "is only a number; write HOST or HOST:PORT",
    # URLs
    "https://chat.example.org:7727": 'leave out "https://": write chat.example.org:7727',
    "HTTPS://chat.example.org": 'leave out "HTTPS://": write chat.example.org',
    "qscps://chat.example.org": 'leave out "qscps://": write chat.example.org',
    "//chat.example.org": 'leave out "//": write chat.example.org',
    "https://": "write HOST or HOST:PORT, such as",
    "chat.example.org:7727/": 'leave out "/": write chat.example.org:7727',
    "chat.example.org/lobby": 'leave out "/lobby": write chat.example.org',
    "chat.example.org:7727#dev": 'leave out "#dev": write chat.example.org:7727',
    "alice@chat.example.org": "leave out the user name: write chat.example.org, and the name with --user",
    "qscp://alice@[::1]:7727/": 'leave out "qscp://" and "/" and the user name: write \\[::1\\]:7727',
    # IPv6
    "::1:7727": "needs brackets .*: write \\[::1\\]:7727, or \\[::1:7727\\] if all of it is the address",
    "2001:db8::1:443": "needs brackets .*: write \\[2001:db8::1\\]:443",
    "::1:17727": "needs brackets .*: write \\[::1\\]:17727$",
    "fe80::1%eth0:7727": "needs brackets .*: write \\[fe80::1%eth0\\]:7727$",
    "[::1:7727": "has no closing bracket; write \\[::1\\]:7727",
    "[::1": "has no closing bracket; write \\[::1\\]",
    "[::1]7727": "is no port; write \\[::1\\]:7727",
    "[chat.example.org]:7727": "is no IPv6 address; only those are written in brackets",
    "fe80::1": "needs the network interface: write fe80::1%INTERFACE",
    "[fe80::1]:7727": "needs the network interface",
    "fe80::1%": "has no network interface after the %",
    "[fe80::1%]:7727": "has no network interface after the %",
    "::1%lo": 'leave out "%lo": write \\[::1\\] or',
    "[2001:db8::1%eth0]:7727": 'only a link-local address .*; leave out "%eth0": write \\[2001:db8::1\\]',
    # names
    "a..b": "has an empty part beside a dot",
    ".example.org": "has an empty part beside a dot",
    "192.0.2.256": "is no IPv4 address",
    "192.0.2": "is no IPv4 address",
    "x" * 64: "is too long",
    "abc." * 80 + "de": "is too long",
    "\u00e9" * 60: "is too long, or has letters that no host name has",
    "chat.example.org,7727": 'has the character "," that no host name has',
    "*.example.org": 'has the character "\\*" that',
    "chat\u200e.example.org": "has the character U\\+200E LEFT-TO-RIGHT MARK that",
    "a\x1bb": "has the character U\\+001B that",
}
"""What people type, and the sentence that it gets."""


@pytest.mark.parametrize(("text", "sentence"), INVALID.items())
def test_an_invalid_address_is_refused(text: str, sentence: str) -> None:
    """An invalid address is refused; the sentence names what is wrong, and the right form."""
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_server(text)
    assert len(str(caught.value)) < 250
    assert not any(word in str(caught.value) for word in ("codec", "idna", "\x1b"))


def test_a_password_in_an_address_is_not_repeated() -> None:
    """A password that was typed as in a URL is in no error."""
    with pytest.raises(ValueError, match="leave out") as caught:
        parse_server("https://alice:wonderland@chat.example.org/x")
    assert "wonderland" not in str(caught.value)


@given(text=st.text(max_size=30) | st.text(alphabet="ab:1.%[]@/ \u00e4", max_size=12))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    """Any text is refused with a ValueError, or round-trips."""
    try:
        address = parse_server(text)
    except ValueError:
        return
    assert parse_server(str(address)) == address


@pytest.mark.parametrize(
    ("text", "certified", "zone"),
    [
        ("[fe80::1%eth0]:7727", "fe80::1", "eth0"),
        ("::1", "::1", ""),
        ("chat.example.org.", "chat.example.org", ""),
    ],
)
def test_a_zone_is_not_in_the_certificate(text: str, certified: str, zone: str) -> None:
    """The zone of a link-local address is for the network; the certificate has the address alone."""
    address = parse_server(text)
    assert (address.certified, address.zone) == (certified, zone)


@pytest.mark.parametrize("text", ["localhost:7727", "[::1]:7727"])
def test_an_address_round_trips(text: str) -> None:
    """A parsed address is formatted as it was typed."""
    assert str(parse_server(text)) == text
