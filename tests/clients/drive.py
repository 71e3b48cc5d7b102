"""Drives every tool of a server, launch tools of its templates included, with the official Python SDK, over stdio and over HTTP.

    python drive.py SERVER

SERVER is the binary. A simulator must be running, told by the environment that it prints. Exit code 1 if any tool is
missed or any answer is not what it must be.
"""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import simulator
from sessions import SDK, open_session, stdio_target
from story import Story

TOOLS = 26
# One launch tool for each template of the simulator.
LAUNCHERS = 6
# cancel_workflow, send_signature_request, run_record_action, delete_webhook: each is asked about once.
QUESTIONS = 4


def flags(folder: Path) -> list[str]:
    return ["--enable-writes", "--log", "warn", "--audit-log", str(folder / "audit.jsonl")]


@contextmanager
def http_server(server: str, folder: Path, *more: str):
    """A server on a free port; its URL is in the line that it writes when it is ready."""
    command = [server, "http", "--listen", "127.0.0.1:0", *flags(folder), *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "http://" in line, f"the HTTP server did not start: {line}{process.stderr.read()}"
        yield line[line.index("http://") :].strip()
    finally:
        process.terminate()
        process.wait(timeout=5)


async def run(name: str, target: object) -> None:
    simulator.control("POST", "reset")
    async with open_session(target) as session:
        published = set(await session.tools())
        story = Story(session)
        await story.tell()
        missed = sorted(published - story.answered)
        assert len(published) == TOOLS + LAUNCHERS and not missed, f"{len(published)} tools, not driven: {missed}"
        assert len(session.questions) == QUESTIONS, f"asked {len(session.questions)} times: {session.questions}"
        driven = len(story.answered) - LAUNCHERS
        print(f"{driven} of {TOOLS} tools and {LAUNCHERS} launch tools over {name} with mcp {SDK} ({session.protocol})", flush=True)


async def main(server: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await run("stdio", stdio_target(server, ["stdio", *flags(Path(folder))]))
        with http_server(server, Path(folder)) as url:
            await run("HTTP", url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
