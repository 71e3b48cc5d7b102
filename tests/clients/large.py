"""What large things cost a stdio server in memory: a 200 MB document, saved and linked to, and 100,000 records walked.

    python large.py SERVER

SERVER is the binary; a simulator of its own is started. Exit code 1 where the server's peak is above the limit, or where
something is missing.
"""

import os
import sys
import tempfile
from pathlib import Path

import simulator
from memory import Server, peak_mb

LIMIT_MB = 40.0
RECORDS = 100_000
DOCUMENT_BYTES = 200_000_000


def saved(server: Server, document: dict) -> bool:
    answer = call(server, "download_workflow_document", {**document, "save": True})
    path = Path(answer["path"])
    whole = path.stat().st_size == DOCUMENT_BYTES == answer["size"]
    path.unlink()
    return whole


def linked(server: Server, document: dict) -> bool:
    return call(server, "download_workflow_document", document)["size"] == DOCUMENT_BYTES


def walked(server: Server, _document: dict) -> bool:
    seen: set[str] = set()
    arguments = {"limit": 1000, "fields": ["id"]}
    count = 0
    while True:
        page = call(server, "list_records", arguments)
        count += len(page["items"])
        seen.update(item["id"] for item in page["items"])
        if "next_cursor" not in page:
            return count == len(seen) == RECORDS
        arguments["cursor"] = page["next_cursor"]


def call(server: Server, tool: str, arguments: dict) -> dict:
    return server.ask("tools/call", {"name": tool, "arguments": arguments})["structuredContent"]


def main(program: str) -> int:
    ironclad = simulator.start(program, "--records", str(RECORDS))
    good = True
    try:
        document = simulator.LargeDocument().arguments()
        simulator.control("POST", "large-exhibit", {"bytes": DOCUMENT_BYTES})
        for what in (saved, linked, walked):
            with tempfile.TemporaryDirectory() as folder:
                os.environ |= {"IRONCLAD_DOWNLOAD_DIR": folder, "IRONCLAD_RATE_BUDGET": "off",
                               "IRONCLAD_MAX_RESULT_BYTES": "400000"}
                server = Server(program, Path(folder) / "audit.jsonl")
                server.initialize()
                server.ask("tools/list", {})
                whole = what(server, document)
                peak = peak_mb(server.process.pid)
                server.close()
            good = good and whole and peak < LIMIT_MB
            print(f"{what.__name__}: {'whole' if whole else 'NOT WHOLE'}, peak memory {peak:.1f} MB (limit {LIMIT_MB:.0f})")
    finally:
        ironclad.kill()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
