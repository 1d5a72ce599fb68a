"""Renders generated records in every format and lets independent judges read them; counts what they say.

    python benchmarks/format_records.py --records 10000 --strict 2000 --node 10000     # the long profile
    python benchmarks/format_records.py --records 200 --strict 20 --node 200           # a look

The records are those of the tests (`tests/unit/records.py`): every status, missing parts, hostile text. Each is
rendered in all formats, checked by the product's own checks, judged by the quick judges of
`tests/unit/format_judges.py`, read back, and its numbers compared with the record's. `--strict` of them also go through
hl7apy, as ORU^R01 and every tenth as OUL^R22; `--node` of them through the Node judges of `tests/real/judges` (`npm ci`
there first).
Writes the counts to `--out`; exit 1 when a judge found anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))

from format_judges import accepted_by_hl7apy, faults_of_file  # noqa: E402 - found through the path above
from format_readers import READERS, hl7_unescaped, numbers_from_read, numbers_of_record  # noqa: E402
from records import carried_by, records  # noqa: E402

from edge.writers.choose import writer_for  # noqa: E402

JUDGES = REPOSITORY / "tests" / "real" / "judges"
FORMATS = ("hl7", "hl7-oul", "lis2", "csv", "csv-wide", "fhir", "json")
NODE_FORMATS = ("hl7", "hl7-oul", "fhir")


class Tally:
    """What was judged, by whom, and every fault found (the first of each kind is kept in words)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def fault(self, judge: str, text: str) -> None:
        """Count a fault and keep the first of its judge."""
        self.faults[judge] += 1
        self.examples.setdefault(judge, text[:500])


class NodeJudges:
    """The Node process that reads one file a line and answers one line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", "judge.mjs"], cwd=JUDGES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def judge(self, name: str, content: bytes) -> dict[str, Any]:
        """Return the answer for one file."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the Node judges have no pipes")
        self._process.stdin.write(json.dumps({"name": name, "text": content.decode("utf-8")}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def judge_record(
    record: dict[str, Any], tally: Tally, node: NodeJudges | None, names: list[str], *, strict: bool
) -> None:
    """Render one record in every format and book what every judge says."""
    for name in names:
        kept = carried_by(name, record)
        content = writer_for(name).render(kept).content  # the product's own check is part of rendering
        tally.counts[f"{name}: rendered and passed our own check"] += 1
        for fault in faults_of_file(name, content):
            tally.fault(f"{name}: quick judges", fault)
        tally.counts[f"{name}: quick judges"] += 1
        if name in READERS:
            round_trip(name, kept, content, tally)
        if strict and (name == "hl7" or (name == "hl7-oul" and tally.counts["hl7: hl7apy strict"] % 10 == 0)):
            strictly(name, content, tally)
        if node is not None and name in NODE_FORMATS:
            by_node(name, content, node, tally)


def round_trip(name: str, record: dict[str, Any], content: bytes, tally: Tally) -> None:
    """Compare the numbers that a reader wins back with those of the record, where the status lets them leave."""
    if name == "csv-wide" or record["status"] == "X" or (record["status"] == "W" and name == "lis2"):
        return
    targets = [made["target"] for made in record["assessments"]]
    if numbers_from_read(READERS[name](content), targets) != numbers_of_record(record):
        tally.fault(f"{name}: round trip", json.dumps(record["counts"]))
    tally.counts[f"{name}: round trip of every number"] += 1


def strictly(name: str, content: bytes, tally: Tally) -> None:
    """Let hl7apy judge the structure."""
    try:
        if not accepted_by_hl7apy(content):
            tally.fault(f"{name}: hl7apy strict", "not valid")
    except Exception as error:  # noqa: BLE001 - a judge may raise anything; whatever it raises is its verdict
        tally.fault(f"{name}: hl7apy strict", f"{type(error).__name__}: {error}")
    tally.counts[f"{name}: hl7apy strict"] += 1


def by_node(name: str, content: bytes, node: NodeJudges, tally: Tally) -> None:
    """Let the Node judges read the file and compare every value."""
    answer = node.judge(name, content)
    for error in answer.get("errors", []):
        tally.fault(f"{name}: Node judges", error)
    if name == "fhir":
        expected = [[value, letter] for value, letter in READERS["fhir"](content).values.values()]
        found = [value for _, value in answer.get("values", [])]
        same = [str(_plain(value)) for value, _ in expected] == [str(_plain(value)) for value in found]
        if not same:
            tally.fault("fhir: Node read-back", str(found)[:200])
    else:
        read = READERS[name](content)
        expected_rows = [[code, value, letter] for code, (value, letter) in read.values.items()]
        for judge in ("medplum", "hl7v2"):
            found_rows = [[code, hl7_unescaped(value), letter] for code, value, letter in answer.get(judge, [])]
            if found_rows != expected_rows:
                tally.fault(f"{name}: {judge} read-back", str(found_rows)[:200])
        if answer.get("ack") != read.message_id:
            tally.fault(f"{name}: medplum ACK", str(answer.get("ack")))
    tally.counts[f"{name}: Node judges"] += 1


def _plain(value: object) -> object:
    """Return a number as one, so that 41 and 41.0 are equal; nothing for an absent value."""
    if value in (None, ""):
        return None
    try:
        return float(str(value))
    except ValueError:
        return value


def result_of(tally: Tally, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Return the counts as they are written."""
    return {
        "what": "generated records in every format before independent judges",
        "simulated": True,
        "machine": {"system": platform.system(), "cores_logical": os.cpu_count()},
        "python": platform.python_version(),
        "measured_on": datetime.now(UTC).date().isoformat(),
        "seeds": [arguments.seed],
        "seconds": round(seconds, 1),
        "judged": dict(sorted(tally.counts.items())),
        "faults": dict(sorted(tally.faults.items())),
        "first_fault_of_each_kind": tally.examples,
    }


def text_of(result: dict[str, Any]) -> str:
    """Return the counts as the text of the file."""
    return json.dumps(result, indent=1, ensure_ascii=False) + "\n"


def joined(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the counts of runs with different seeds."""
    total = dict(results[0])
    total["seeds"] = sorted(seed for result in results for seed in result["seeds"])
    total["seconds"] = round(sum(result["seconds"] for result in results), 1)
    for key in ("judged", "faults"):
        total[key] = dict(sorted(sum((Counter(result[key]) for result in results), Counter()).items()))
    total["first_fault_of_each_kind"] = {k: v for r in results for k, v in r["first_fault_of_each_kind"].items()}
    if len(set(total["seeds"])) != len(total["seeds"]):
        raise ValueError("two runs had the same seed and judged the same records")
    return total


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Generate the records and judge them; what is known so far is written every 100 records."""
    tally = Tally()
    started = time.monotonic()
    node = NodeJudges() if arguments.node else None

    @seed(arguments.seed)
    @settings(
        max_examples=arguments.records,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(records())
    def judged(record: dict[str, Any]) -> None:
        done = tally.counts["records"]
        strict = tally.counts["hl7: hl7apy strict"] < arguments.strict
        judge_record(record, tally, node if done < arguments.node else None, arguments.formats, strict=strict)
        tally.counts["records"] += 1
        tally.counts[f"status {record['status']}"] += 1
        if tally.counts["records"] % 100 == 0:
            print(f"{tally.counts['records']} records, {sum(tally.faults.values())} faults", flush=True)
            if arguments.out:
                arguments.out.write_text(text_of(result_of(tally, arguments, time.monotonic() - started)), "utf-8")

    judged()
    if node is not None:
        node.close()
    return result_of(tally, arguments, time.monotonic() - started)


def main() -> int:
    """Run, print and write the counts. Returns 1 when a judge found anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--strict", type=int, default=20, help="how many also go through hl7apy")
    parser.add_argument("--node", type=int, default=0, help="how many also go through the Node judges")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="leave out the others")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--join", type=Path, nargs="+", default=None, help="add up the counts of several runs instead")
    parser.add_argument("--out", type=Path, default=None, help="where the counts are written")
    arguments = parser.parse_args()
    if arguments.join:
        result = joined([json.loads(path.read_text(encoding="utf-8")) for path in arguments.join])
    else:
        result = run(arguments)
    text = text_of(result)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
