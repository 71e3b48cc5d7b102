"""A thousand clients of each era at once: every call is answered, and the server stays small.

    python crowd.py SERVER

SERVER is the binary; a simulator of its own is started. HTTP is written by hand here, since a thousand clients of any SDK
would take longer than what is measured. Exit code 1 where an answer is missing, or the server's peak is above the limit.
"""

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import simulator
from memory import peak_mb

LIMIT_MB = 64.0 * 1.048576  # the limit is in MiB
CLIENTS = 1000
CALLS = 5
TOKEN = "token of the crowd"
MODERN = "2026-07-28"
TOOL = {"name": "list_users", "arguments": {"limit": 1}}
LEGACY_CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "crowd", "version": "1"}}


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> "Connection":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def send(self, method: str, headers: dict, message: dict | None) -> dict:
        """Sends a request; the headers of its answer, by lower-case name."""
        body = b"" if message is None else json.dumps({"jsonrpc": "2.0", **message}).encode()
        lines = [f"{method} /mcp HTTP/1.1", "host: localhost", f"authorization: Bearer {TOKEN}",
                 "accept: application/json, text/event-stream", f"content-length: {len(body)}"]
        if body:
            lines.append("content-type: application/json")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        if int(head[0].split()[1]) >= 300:
            raise SystemExit(f"refused: {head}")
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}

    async def body(self, headers: dict) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return whole

    async def ask(self, headers: dict, message: dict) -> tuple[dict, bytes]:
        answered = await self.send("POST", headers, message)
        return answered, await self.body(answered)


async def modern(port: int, all_there: asyncio.Barrier) -> None:
    connection = await Connection(port).open()
    await all_there.wait()
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": TOOL["name"]}
    for call in range(CALLS):
        _, answer = await connection.ask(headers, {"id": call, "method": "tools/call", "params": {**TOOL, "_meta": meta}})
        check(answer)
    await all_there.wait()


async def legacy(port: int, all_there: asyncio.Barrier) -> None:
    connection, listening = await Connection(port).open(), await Connection(port).open()
    welcome, _ = await connection.ask({}, {"id": 0, "method": "initialize", "params": LEGACY_CLIENT})
    session = {"mcp-session-id": welcome["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    await connection.ask(session, {"method": "notifications/initialized"})
    await listening.send("GET", session, None)
    await all_there.wait()
    for call in range(CALLS):
        _, answer = await connection.ask(session, {"id": call + 1, "method": "tools/call", "params": TOOL})
        check(answer)
    await all_there.wait()


def check(answer: bytes) -> None:
    if b'"total":25' not in answer:
        raise SystemExit(f"no users: {answer[:500]}")


async def crowd(client, port: int) -> None:
    all_there = asyncio.Barrier(CLIENTS)
    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(client(port, all_there))


def serve(program: str, folder: str, port: int) -> subprocess.Popen:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    settings = Path(folder) / "settings.toml"
    settings.write_text(f'auth = "agents"\n[agents.crowd]\ntoken_sha256 = "{digest}"\naccess = {{ users = "read" }}\n')
    command = [program, "http", "--config", str(settings), "--listen", f"127.0.0.1:{port}", "--rate-budget", "off",
               "--audit-log", str(Path(folder) / "audit.jsonl"), "--log", "error"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def main(program: str) -> int:
    ironclad = simulator.start(program)
    good = True
    try:
        for era, faults in ((modern, ""), (legacy, ""), (modern, "slow:ms=100"), (legacy, "slow:ms=100")):
            simulator.control("POST", "faults", faults)
            with tempfile.TemporaryDirectory() as folder:
                port = simulator.free_port()
                server = serve(program, folder, port)
                began = time.monotonic()
                asyncio.run(crowd(era, port))
                took, peak = time.monotonic() - began, peak_mb(server.pid)
                server.terminate()
                server.wait(timeout=60)
            good = good and peak <= LIMIT_MB
            print(f"{CLIENTS} {era.__name__} clients{', a slow Ironclad' if faults else ''}: {CLIENTS * CALLS} calls "
                  f"in {took:.1f} s, peak memory {peak:.1f} MB (limit {LIMIT_MB:.1f})")
    finally:
        ironclad.kill()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
