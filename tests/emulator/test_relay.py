"""A relay passes on what comes before its other end is there: old asyncios read although they were told not to."""

import asyncio
import socket

from faafo_lab.cloud.emulator.machinery.switch.relay import End

LIMIT_SECONDS = 20


def test_what_comes_before_the_ends_are_joined_is_passed_on_with_its_end() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        client, front_socket = socket.socketpair()
        back_socket, server = socket.socketpair()
        _, front = await loop.create_connection(lambda: End(lambda: None), sock=front_socket)
        front.data_received(b"early ")  # as Python 3.11.2 does
        front.eof_received()
        _, back = await loop.create_connection(lambda: End(lambda: None), sock=back_socket)
        front.join(back)
        server.setblocking(False)
        async with asyncio.timeout(LIMIT_SECONDS):
            got = await loop.sock_recv(server, 100)
            assert await loop.sock_recv(server, 100) == b""
            await loop.sock_sendall(server, b"answer")
            server.shutdown(socket.SHUT_WR)
            client.setblocking(False)
            got += await loop.sock_recv(client, 100)
            assert await loop.sock_recv(client, 100) == b""
        client.close()
        server.close()
        return got

    assert asyncio.run(main()) == b"early answer"
