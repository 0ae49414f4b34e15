"""Queue of encoded frames: payloads that are taken as a whole, or in slices."""


class PayloadQueue:
    """Payloads in order. Sessions share them, so a queue costs little until it is encrypted.

    Attributes:
        payloads: The payloads; add one at the end, and its size to `size`.
        size: Bytes in the queue.
    """

    __slots__ = ("_offset", "payloads", "size")

    def __init__(self) -> None:
        self.size = 0
        self.payloads: list[bytes] = []
        self._offset = 0  # bytes of the first payload that are taken already

    def take(self, most: int) -> bytes:
        """Remove and return the first bytes, as many as there are up to a number."""
        payloads = self.payloads
        if self.size <= most and not self._offset:
            taken = b"".join(payloads)
            self.clear()
            return taken
        parts: list[memoryview] = []
        size = index = 0
        while index < len(payloads) and size < most:
            part = memoryview(payloads[index])[self._offset : self._offset + most - size]
            parts.append(part)
            size += len(part)
            self._offset += len(part)
            if self._offset == len(payloads[index]):
                index += 1
                self._offset = 0
        del payloads[:index]
        self.size -= size
        return b"".join(parts)

    def clear(self) -> None:
        """Remove everything."""
        self.payloads.clear()
        self.size = self._offset = 0
