"""Encoded frames that wait to be written."""

Payload = bytes | memoryview
"""One or more frames. Sessions share them, so waiting costs little until they are encrypted."""


def take_slice(payloads: list[Payload], most: int) -> bytes:
    """Remove and return the first bytes of some payloads; a payload can be split.

    Args:
        payloads: The payloads, in order.
        most: How many bytes; all if there are fewer.
    """
    parts: list[Payload] = []
    left = most
    whole = 0
    for payload in payloads:
        if len(payload) > left:
            break
        parts.append(payload)
        left -= len(payload)
        whole += 1
    del payloads[:whole]
    if payloads and left:
        first = memoryview(payloads[0])
        parts.append(first[:left])
        payloads[0] = first[left:]
    return b"".join(parts)
