"""A line between a client and a server that may go deaf: it carries bytes, or swallows them.

    python -m tests.chaos.line PORT      listens on a free port, which it prints

A line on stdin says how it is from now on: `carry`, or `swallow` (nothing gets through in either
direction, and nobody is told, as when a cable is pulled or a NAT forgets).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


class Line:
    def __init__(self, port: int) -> None:
        self.port = port
        self.carries = asyncio.Event()
        self.carries.set()
        self.generation = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.carries.wait()  # nobody gets through to open another one either
        mine = self.generation
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(
            self.carry(reader, far_writer, mine), self.carry(far_reader, writer, mine)
        )

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mine: int
    ) -> None:
        """What was open when the line went deaf stays so for ever: also its end is not told."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self.generation == mine:
                    writer.write(data)
                    await writer.drain()
            if self.generation == mine:
                writer.close()


async def main(port: int) -> None:
    line = Line(port)
    server = await asyncio.start_server(line.connected, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        if order.strip() == b"swallow":
            line.generation += 1
            line.carries.clear()
        else:
            line.carries.set()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
