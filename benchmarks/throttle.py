"""``python -m benchmarks.throttle PORT RATE [TROUBLE AFTER]``: a way to the server on that port of
loopback which carries RATE bytes a second, for all connections together. Prints its own port, and
runs until it is killed.

TROUBLE begins once AFTER bytes went through: ``die`` ends the process, ``stall`` sends nothing from
then on and keeps every connection, ``lie`` changes a byte of each portion.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

PORTION = 1 << 16
BURST = 0.02
"""Seconds' worth of bytes that may go at once after a pause."""


class Throttle:
    def __init__(self, port: int, rate: float, trouble: str, after: int) -> None:
        self.port = port
        self.rate = rate
        self.trouble = trouble
        self.left = after
        self.free_at = 0.0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", self.port, limit=PORTION)
        try:
            await asyncio.gather(self.ask(reader, before), self.give(behind, writer))
        except OSError:
            pass
        finally:
            before.close()
            writer.close()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PORTION):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def give(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PORTION):
            await self.pace(len(data))
            writer.write(await self.troubled(data))
            await writer.drain()
        writer.close()

    async def pace(self, count: int) -> None:
        now = time.monotonic()
        self.free_at = max(self.free_at, now - BURST) + count / self.rate
        if self.free_at > now:
            await asyncio.sleep(self.free_at - now)

    async def troubled(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left > 0 or self.trouble == "none":
            return data
        if self.trouble == "die":
            os._exit(0)
        if self.trouble == "stall":
            await asyncio.Event().wait()
        # A short portion may be nothing but a header.
        return data[:-1] + bytes([data[-1] ^ 1]) if len(data) > 4096 else data


async def main(port: int, rate: float, trouble: str, after: int) -> None:
    server = await asyncio.start_server(
        Throttle(port, rate, trouble, after).answer, "127.0.0.1", 0, limit=PORTION
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    port, rate, trouble, after = (*sys.argv[1:], *("none", "0")[len(sys.argv) - 3 :])
    asyncio.run(main(int(port), float(rate), trouble, int(after)))
