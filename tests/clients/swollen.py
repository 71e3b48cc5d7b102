"""What a stdio server does with answers larger than anything sound: bodies without end, gzip bombs, headers by the thousand.

    python swollen.py SERVER

SERVER is the binary; a simulator of its own is started. Exit code 1 where a read is not given up as too large, or where
the server's peak memory is above the limit.
"""

import os
import sys
import tempfile
from pathlib import Path

import simulator
from memory import Server, peak_mb

LIMIT_MB = 80.0
MUTUAL_NDA = "5f0375c4cdc1927c5c4ed001"
FAULTS = ["endless", "bomb:mb=2048", "headers"]


def reads() -> dict[str, dict]:
    """Every kind of answer: lists, objects, a form, what is read while it arrives, a document."""
    document = simulator.LargeDocument().arguments()
    workflow = {"workflow_id": document["workflow_id"]}
    return {
        "list_workflows": {"limit": 1000},
        "get_workflow": workflow,
        "list_workflow_approvals": workflow,
        "list_workflow_schemas": {},
        "get_workflow_schema": {"template_id": MUTUAL_NDA},
        "list_records": {"limit": 1000},
        "get_record_schema": {},
        "list_users": {},
        "list_webhooks": {},
        "download_workflow_document": document,
    }


def code(server: Server, tool: str, arguments: dict) -> str:
    result = server.ask("tools/call", {"name": tool, "arguments": arguments})
    return result["structuredContent"].get("error", {}).get("code", "no error")


def main(program: str) -> int:
    ironclad = simulator.start(program, "--records", "100000")
    os.environ |= {"IRONCLAD_RATE_BUDGET": "off", "IRONCLAD_MAX_RETRIES": "0", "IRONCLAD_MAX_DOCUMENT_BYTES": "100000"}
    good = True
    try:
        calls = reads()
        for fault in FAULTS:
            with tempfile.TemporaryDirectory() as folder:
                server = Server(program, Path(folder) / "audit.jsonl")
                server.initialize()
                # Signed in, and each tool works.
                sound = {tool: code(server, tool, arguments) for tool, arguments in calls.items()}
                before = peak_mb(server.process.pid)
                simulator.control("POST", "faults", fault)
                codes = {tool: code(server, tool, arguments) for tool, arguments in calls.items()}
                simulator.control("POST", "faults", "")
                peak = peak_mb(server.process.pid)
                server.close()
            wrong = {tool: got for tool, got in codes.items() if got != "response_too_large"}
            wrong |= {tool: got for tool, got in sound.items() if got != "no error"}
            good = good and not wrong and peak <= LIMIT_MB
            print(f"{fault}: {len(codes)} reads, {wrong or 'all too large'}, "
                  f"peak memory {before:.1f} MB before, {peak:.1f} MB after (limit {LIMIT_MB:.0f})")
    finally:
        ironclad.kill()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
