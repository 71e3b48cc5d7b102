"""What a 5 MB document costs a stdio server in memory: its peak after a download, against its peak before.

    python memory.py SERVER

SERVER is the binary. A simulator must be running in a process of its own, told by the environment that it prints. JSON-RPC
is written by hand here, so that no SDK takes part. Exit code 1 above the limit, or if the bytes differ.
"""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from simulator import LargeDocument

LIMIT_MB = 15.0


def peak_mb(pid: int) -> float:
    """The process's largest resident size so far, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


class Server:
    """A stdio server, and a client that takes one line for one answer."""

    def __init__(self, server: str, audit: Path) -> None:
        command = [server, "stdio", "--log", "warn", "--audit-log", str(audit)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, message: dict) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict) -> dict:
        self.send({"id": 1, "method": method, "params": params})
        return json.loads(self.process.stdout.readline())["result"]

    def initialize(self) -> None:
        client = {"name": "memory", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        self.send({"method": "notifications/initialized"})

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=5)


def main(program: str) -> int:
    document = LargeDocument()
    original = document.content()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, Path(folder) / "audit.jsonl")
        server.initialize()
        server.ask("tools/list", {})
        idle = peak_mb(server.process.pid)
        result = server.ask("tools/call", {"name": "download_workflow_document", "arguments": document.arguments()})
        peak = peak_mb(server.process.pid)
        server.close()
    blob = next(block["resource"]["blob"] for block in result["content"] if block["type"] == "resource")
    same = base64.b64decode(blob) == original
    grown = peak - idle
    print(f"{len(original) / 1e6:.1f} MB PDF, {'byte for byte' if same else 'DAMAGED'}: peak memory {idle:.1f} MB idle, "
          f"{peak:.1f} MB after, {grown:.1f} MB more (limit {LIMIT_MB:.0f})")
    return 0 if same and grown <= LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
