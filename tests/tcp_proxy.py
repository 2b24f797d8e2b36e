"""``python tcp_proxy.py PORT TARGET_PORT [BYTES_PER_SECOND]``: the way to a server, which tests can cut or make slow.

A server that keeps its objects in memory loses them when it is killed; with the way to it killed, it is away and comes
back with what it has, and requests are cut off in their midst.
"""

import asyncio
import sys


async def pump(reader, writer, rate):
    try:
        while data := await reader.read(1 << 16 if rate is None else max(1, rate // 20)):
            writer.write(data)
            await writer.drain()
            if rate is not None:
                await asyncio.sleep(len(data) / rate)
        writer.write_eof()
    except OSError:
        writer.close()


async def main(port, target, rate=None):
    async def connect(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", int(target))
        await asyncio.gather(pump(reader, back, int(rate) if rate else None), pump(there, writer, None))

    server = await asyncio.start_server(connect, "127.0.0.1", int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
