"""Attacking process: `python -m tests.abuse.attacker ATTACK CA PORT SECONDS`.

It has the lowest priority, so that its own CPU time is not what the group suffers from. It prints `begun`
when the attack begins, and what it did when the seconds are over.
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Final

from tests.abuse.catalogue import ATTACKS
from tests.abuse.target import Target
from tests.support.programs import print_line
from tests.support.wire import client_context

_NICE: Final = 19


async def _main(name: str, ca: Path, port: int, seconds: float) -> None:
    target = Target(port, client_context(ca))
    attack = asyncio.ensure_future(ATTACKS[name].run(target))
    begun = asyncio.create_task(target.begun.wait())
    await asyncio.wait({attack, begun}, return_when=asyncio.FIRST_COMPLETED)
    if attack.done():
        attack.result()
    print_line("begun")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await attack
    print_line(json.dumps(target.counts))


if __name__ == "__main__":
    os.nice(_NICE)
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
