"""What the client says of certificates that it refuses, by real handshakes."""

import asyncio
import re
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509

from qscp import ALPN
from qscp_client.errors import ClientError, TrustError
from qscp_client.net.address import ServerAddress
from qscp_client.net.connection import Server
from tests.support.certificates import Issued, Shape, make_ca, make_leaf, pem, write_pair
from tests.support.certificates import key_pem as pem_of_key

ROOT = make_ca("Root A")
INTERMEDIATE = make_ca("Inter A", ROOT)
PRIVATE = make_ca("Private", shape=Shape(path_length=0))
OLD = make_ca("Old", ROOT, Shape(days=(-100, -1)))
COMING = make_ca("Coming", ROOT, Shape(days=(5, 100)))
ENDED = make_ca("Ended", shape=Shape(days=(-100, -1)))


class Sent(NamedTuple):
    """What a server sends, and what its clients trust."""

    chain: tuple[Issued, ...]
    ca: Issued = ROOT


async def refusal(directory: Path, sent: Sent) -> ClientError:
    """Connect to a server, which must be refused; return the error."""
    files = write_pair(directory, pem(*sent.chain), pem_of_key(sent.chain[0].key), pem(sent.ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([ALPN])
    context.load_cert_chain(*files)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with listener:
        address = ServerAddress("localhost", listener.sockets[0].getsockname()[1])
        with pytest.raises(ClientError) as caught:
            await Server(address, directory / "ca.pem").connect()
    return caught.value


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (
            Sent((make_leaf(ROOT, ["chat.example.org", "192.0.2.1"]),)),
            r"not for the name localhost \(wrong name\)\. It is for: chat\.example\.org, 192\.0\.2\.1\. ",
        ),
        (
            Sent((make_leaf(ROOT, [f"n{number}.example" for number in range(50)]),)),
            r"It is for: n0\.example, .*n7\.example and 42 more\.",
        ),
        (
            Sent((make_leaf(ROOT, []),)),
            r"\(wrong name\)\. It has no names that can be verified\. Ask the operator",
        ),
        (
            Sent((make_leaf(INTERMEDIATE),)),
            r'does not send the certificate of "Inter A", which issued that of "localhost", .*must append',
        ),
        (
            Sent((make_leaf(make_ca("Below", INTERMEDIATE)), make_ca("Other"))),
            'does not send the certificate of "Below"',
        ),
        (Sent((make_leaf(ROOT),), PRIVATE), r"was not issued by the CA .*\(unknown issuer\).*impostor"),
        (Sent((make_leaf(make_ca("Root A")),)), r"was not issued by the CA .*\(unknown issuer\).*impostor"),
        (Sent((make_leaf(None),)), r"was not issued by the CA .*\(unknown issuer\).*impostor"),
        (
            Sent((make_leaf(INTERMEDIATE), INTERMEDIATE), INTERMEDIATE),
            r'does not have a root CA .*certificate of "Root A", which issued that of "Inter A"',
        ),
        (
            Sent((make_leaf(OLD), OLD)),
            r'that of its issuer "Old" expired on \d{4}-\d\d-\d\d\. This computer.s clock says',
        ),
        (Sent((make_leaf(COMING), COMING)), 'that of its issuer "Coming" is not valid before'),
        (Sent((make_leaf(ENDED),), ENDED), 'that of its issuer "Ended" expired on'),
        (Sent((make_leaf(ROOT, shape=Shape(days=(-9, -1))),)), "has expired. This computer"),
        (
            Sent((make_leaf(ROOT, shape=Shape(without=(x509.AuthorityKeyIdentifier,))),)),
            "can't be verified: Missing Authority Key Identifier",
        ),
    ],
)
async def test_a_refusal_says_what_is_wrong(tmp_path: Path, sent: Sent, sentence: str) -> None:
    """The error has the names that the certificate has, or names the certificate that is missing or ended."""
    error = await refusal(tmp_path, sent)
    assert isinstance(error, TrustError)
    assert re.search(sentence, str(error)), error


async def test_a_name_of_the_server_is_harmless(tmp_path: Path) -> None:
    """A server can't send commands to the terminal, or a page of text, by a name in its certificate."""
    evil = make_leaf(ROOT, ["\x1b]0;owned\x07\r\n", "x" * 5000])
    text = str(await refusal(tmp_path, Sent((evil,))))
    assert "owned" in text
    assert text.isprintable()
    assert len(text) < 1000
