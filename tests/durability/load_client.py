"""Load client: devices that write to each other and in rooms as fast as they can.

`python -m tests.durability.load_client FOLDER CA PORT SEED DEVICE...`, where a DEVICE is `user:number`;
`run_load` has the commands on its standard input.
"""

import sys
from pathlib import Path
from typing import Final

from qscp import frames
from tests.durability.participant import Participant, run_load
from tests.support.network_device import NetworkDevice

_WINDOW: Final = 40
"""Most messages without an answer of a device."""

_DROP: Final = 0.003
"""Probability that a device drops its connection after a message."""

_ROOM: Final = "#all"
"""All users are in it."""

_CLUB: Final = "#club"
"""Some devices join and leave it. Its owner, alice, can't leave."""

_CHANGE: Final = 0.1
"""Probability that an event follows a message."""

_MOVE: Final = 0.05
"""Probability that a user joins or leaves, after any input."""


class BusyParticipant(Participant):
    """A device that always has messages on their way."""

    def __init__(self, user: str, number: int, users: list[str], seed: int) -> None:
        # One device of each user joins and leaves.
        super().__init__(user, number, seed, (_ROOM,), _CLUB if number < 20 and user != "alice" else "")
        self._recipients = (*(each for each in users if each != user), _ROOM, _CLUB)

    async def chat(self, on_network: NetworkDevice) -> None:
        """Write and read until drained, or until the device drops its connection."""
        device, random = self.device, self.random
        while not self.drained:
            while not self.stopping and len(device.flying) < random.randrange(1, _WINDOW):
                body = f"{self.user} {len(device.log.sent)} " + "x" * random.choice((0, 10, 10, 10, 3000))
                on_network.send(*device.send(random.choice(self._recipients), body))
                if random.random() < _CHANGE:
                    on_network.send(*self.change())
                if random.random() < _DROP:
                    self.lose()
                    return
            await on_network.receive()
            self.move(on_network, _MOVE)
            if random.random() < 0.2:
                on_network.send(*device.receipts())
            if random.random() < 0.02:
                on_network.send(*(frames.ClientRead(each, seq) for each, seq in device.positions.items()))


def main(arguments: list[str]) -> int:
    """Run the devices of this process; the exit code is 1 if a promise was broken."""
    folder, ca, port, seed, *devices = arguments
    names = [each.partition(":") for each in devices]
    users = sorted({name for name, _, _ in names})
    load = [BusyParticipant(name, int(number), users, int(seed)) for name, _, number in names]
    return run_load(Path(folder), Path(ca), int(port), load)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
