"""Runs the official conformance suite against the server with its fixtures.

    python conformance.py FIXTURES NODE_FOLDER

FIXTURES is the example `conformance`, NODE_FOLDER holds node_modules with node and @modelcontextprotocol/conformance. Exit code 1
if any scored scenario fails, or another number of them ran than the revision has.
"""

import re
import subprocess
import sys
from pathlib import Path

# The scored scenarios of each revision. The suite keeps no list for 2025-06-18: all that it has count.
REVISIONS = {
    "2025-06-18": (["--suite", "all", "--spec-version", "2025-06-18"], 27),
    "2025-11-25": (["--requirements", "2025-11-25"], 30),
    "2026-07-28": (["--requirements", "2026-07-28"], 37),
}


def run(node: Path, url: str, revision: str) -> bool:
    arguments, expected = REVISIONS[revision]
    program = [node / "node/bin/node", node / "@modelcontextprotocol/conformance/dist/index.js", "server", "--url", url]
    ended = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=300, check=False)
    results = {name: (int(passed), int(failed)) for name, passed, failed in re.findall(r"^\S (\S+): (\d+) passed, (\d+) failed", ended.stdout, re.M)}
    _, _, rest = ended.stdout.partition("Not scored for")
    not_scored = set(re.findall(r"^\s+\S (\S+) \(", rest, re.M))
    scored = {name: result for name, result in results.items() if name not in not_scored}
    failing = sorted(name for name, (_, failed) in scored.items() if failed)
    passed = sum(passed for passed, _ in scored.values())
    well = ended.returncode == 0 and not failing and len(scored) == expected
    print(f"{revision}: {len(scored)} scored scenarios, {passed} checks passed; failing: {', '.join(failing) or 'none'}", flush=True)
    others = {name: "failing" if results[name][1] else "passing" for name in sorted(not_scored & set(results))}
    for name, state in others.items():
        print(f"    not scored: {name}, {state}", flush=True)
    if not well:
        print(ended.stdout, ended.stderr, sep="\n", file=sys.stderr)
    return well


def main(fixtures: str, node_folder: str) -> int:
    server = subprocess.Popen([fixtures], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = server.stdout.readline().strip()
        results = [run(Path(node_folder) / "node_modules", url, revision) for revision in REVISIONS]
        return 0 if all(results) else 1
    finally:
        server.terminate()
        server.wait(timeout=10)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
