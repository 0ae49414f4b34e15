"""Crowd of a soak: many devices that write, read, search, edit, come and go now and then.

`python -m tests.durability.crowd FOLDER CA PORT SEED SESSIONS PART PARTS`; `run_load` has the commands on
its standard input.
"""

import asyncio
import ssl
import sys
from asyncio import sslproto
from pathlib import Path
from typing import Final

from qscp import frames
from qscp.limits import PAGE_LIMIT
from tests.durability.participant import Participant, run_load
from tests.durability.population import DEVICES, Population, User
from tests.support.network_device import NetworkDevice
from tests.support.waiting import PATIENCE_S

_RATE: Final = 80.0
"""Actions of all devices together, a second: most of a machine with two cores stays free."""

_ARRIVALS: Final = 200
"""First logins a second."""

_WINDOW: Final = 5
"""Most messages without an answer of a device: like a user who waits when nothing moves."""

_TLS_BUFFER: Final = 32 * 1024
"""Bytes of each connection's buffer: asyncio's 256 KiB would be half a gigabyte here."""

_BACKOFF_S: Final = (0.5, 5.0)
"""Pause before a device connects again: that of the real client after the first failure."""

_STOP_SEEN_S: Final = 1.0
"""Time after which a device notices that the load stops."""

_MOVE: Final = 0.1
"""Probability that a user joins or leaves a club, at each action."""

_ACTIONS: Final = {
    "pair": 45,
    "room": 20,
    "change": 10,
    "marks": 8,
    "history": 4,
    "search": 2,
    "conversations": 2,
    "presence": 4,
    "typing": 2,
    "slow": 1,
    "away": 1,
    "drop": 1,
}
"""Weights of what a device does next."""


class CrowdMember(Participant):
    """A device that does something at random now and then.

    Args:
        user: Its user.
        number: Number of the device.
        seed: Seed of its choices.
        pause_s: Mean pause between two actions.
        arrives_s: Time from the start to its first login.
    """

    def __init__(self, user: User, number: int, seed: int, pause_s: float, arrives_s: float) -> None:
        super().__init__(user.name, number, seed, (user.room,), user.club if number % DEVICES == 0 else "")
        self._of = user
        self._pause_s = pause_s
        self._arrives_s = arrives_s
        self._slow_s = 0.0
        self._away_s = 0.0

    @property
    def address(self) -> str:
        """Address to connect from."""
        return self._of.address

    @property
    def retry_s(self) -> float:
        """Pause before the next attempt to connect."""
        return self.random.uniform(*_BACKOFF_S)

    async def run(self, port: int, context: ssl.SSLContext) -> None:
        """Arrive some time after the start, write, and log in again after every end, until stopped."""
        await asyncio.sleep(self._arrives_s)
        await super().run(port, context)

    async def chat(self, on_network: NetworkDevice) -> None:
        """Act and read until drained, or until the device leaves."""
        receiving = asyncio.create_task(self._receive(on_network))
        try:
            while not self.drained:
                await self._pause(receiving)
                self.move(on_network, _MOVE)
                if not self.stopping and not self._act(on_network):
                    break
        finally:
            receiving.cancel()
            await asyncio.wait({receiving})
        if not self.stopping:
            await asyncio.sleep(self._away_s)

    async def _pause(self, receiving: "asyncio.Task[None]") -> None:
        """Wait until the next action, or until the load stops; raise what ended the connection."""
        left = self.random.expovariate(1 / self._pause_s)
        while True:
            slice_s = min(left, _STOP_SEEN_S)
            await asyncio.wait({receiving}, timeout=slice_s)
            if receiving.done():
                receiving.result()
            left -= slice_s
            if left <= 0 or self.stopping:
                return

    async def _receive(self, on_network: NetworkDevice) -> None:
        while True:
            await on_network.receive()
            on_network.answers.clear()
            if self._slow_s:
                pause, self._slow_s = self._slow_s, 0.0
                await asyncio.sleep(pause)

    def _act(self, on_network: NetworkDevice) -> bool:
        """Do one thing; return whether the device stays."""
        (action,) = self.random.choices(tuple(_ACTIONS), tuple(_ACTIONS.values()))
        match action:
            case "slow":
                self._slow_s = self.random.uniform(1, 15)
            case "away":
                self._away_s = self.random.uniform(1, 20)
            case "drop":
                self._away_s = 0.0
                self.lose()
            case _:
                on_network.send(*(self._writing(action) or self._requests(action)))
        return action not in ("away", "drop")

    def _writing(self, action: str) -> list[frames.ClientFrame]:
        """Return a message, an event, or marks."""
        random, device = self.random, self.device
        match action:
            case "pair" | "room" if len(device.flying) < _WINDOW:
                to = self._of.room if action == "room" else random.choice(self._of.partners)
                body = f"{self.user} {len(device.log.sent)} " + "x" * random.choice((0, 10, 40, 40, 2000))
                return device.send(to, body)
            case "change":
                return self.change()
            case "marks":
                read = [frames.ClientRead(each, seq) for each, seq in device.positions.items()]
                return [*device.receipts(), *read]
        return []

    def _requests(self, action: str) -> list[frames.ClientFrame]:
        """Return what changes nothing that is stored."""
        random, positions = self.random, self.device.positions
        match action:
            case "history" if positions:
                conversation, seq = random.choice(list(positions.items()))
                return [frames.HistoryRequest(conversation, before=seq + 1, limit=PAGE_LIMIT)]
            case "search":
                return [frames.SearchRequest(f"{random.choice(self._of.partners)} {random.randrange(50)}")]
            case "conversations":
                return [frames.ConversationsRequest()]
            case "presence":
                return [frames.SetPresence(random.choice(("online", "away", "offline")), "busy")]
            case "typing":
                return [frames.SetTyping(random.choice((self._of.room, *self._of.partners)))]
        return []


def main(arguments: list[str]) -> int:
    """Run the devices of this process; the exit code is 1 if a promise was broken."""
    folder, ca, port, seed, sessions, part, parts = arguments
    sslproto.SSLProtocol.max_size = _TLS_BUFFER  # asyncio has no setting for it
    population = Population(int(sessions))
    pause_s = int(sessions) / _RATE
    load = [
        CrowdMember(user, number * DEVICES + device, int(seed), pause_s, number * DEVICES / _ARRIVALS)
        for number, user in population.part(int(part), int(parts))
        for device in range(DEVICES)
    ]
    return run_load(Path(folder), Path(ca), int(port), load, PATIENCE_S + 10 * int(sessions) / _ARRIVALS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
