"""The checklist of a site: what the machine found when it sent a test result, and what people check and sign.

checks_of_deliveries(...)      one line a configured output and step, from what the journal says
text / markdown / html         the same checklist for a terminal, for a document system, for paper (A4)
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["yes", "no", "waits", "by hand"]

SETTLED = {"ACCEPTED": "yes", "COLLECTED": "yes", "REFUSED": "no", "PARKED": "no", "DELIVERED_UNSEEN": "yes",
           "ARCHIVED": "no"}  # fmt: skip
WORDS = {
    "ACCEPTED": "the receiver accepted it", "COLLECTED": "the receiver took the file",
    "REFUSED": "the receiver refused it",
    "PARKED": "our own check stopped it; nothing was sent", "SENT": "published, no answer yet",
    "RENDERED": "not published yet", "STAGED": "not published yet", "DELIVERED_UNSEEN": "published, and taken unseen",
    "ARCHIVED": "given up before it was confirmed",
}  # fmt: skip
CANNOT_SAY = "MDSE-WRITER-007"
NOT_IN_FORCE = "the daemon did not send it there: no such output is in force (configuration edited and not reloaded?)"
NOT_CONFIGURED = "the daemon sends there, and the configuration that was read does not name it: reload the daemon"
CONCLUSIONS: dict[Outcome, str] = {
    "yes": "Every output was confirmed.",
    "by hand": "The machine cannot confirm all of it: a person must find the test at the receiver of every output that "
               "is marked 'by hand', and sign.",
    "waits": "At least one output still waits for pickup or acknowledgement: look at the receiver, then test again.",
    "no": "At least one output was not reached, was refused or stopped: mend what its line says, then test again.",
}  # fmt: skip
BY_HAND_SENT = "published; this output expects no answer: look at the LIS"
BY_HAND_UNSAYABLE = "not sent: this format has no mark for a test. Try it with a real result of a test sample"
BY_HAND = (
    "The result stands under the test sample's number, with every leading zero.",
    "It is marked as a test (HL7 MSH-11 T), and nobody on a ward can see it.",
    "Every value in the table below is the one on the screen of the LIS, with its unit and a decimal point.",
    "Every value stands under the right test: no two were exchanged, none overwrote a result of the technologist.",
    "The call can be read in full, together with the words 'decision support, verify on the smear'.",
    "The status is shown as preliminary; time and date are those of the laboratory.",
    "The test was sent again by edge-result resend: the LIS shows it once.",
    "With the receiver stopped, the next test waits, and the alarm reached the person who is on duty.",
    "The laboratory knows who looks at refused messages (edge-result open), and how often.",
)
BY_HAND_CORRECTIONS = (
    "The final result (revision 2) replaced the preliminary one.",
    "The withdrawn result (revision 3) can no longer be used, and its reason can be read.",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was to be shown, the outcome, and what was seen."""

    text: str
    outcome: Outcome
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Checklist:
    """A whole checklist. `facts` are name and value, `expected` what a person compares at the LIS."""

    facts: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    expected: tuple[tuple[str, str], ...]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome that the machine saw (`no`, `waits`, `by hand`, `yes`); `no` when it saw nothing."""
        found = {check.outcome for check in self.checks if check.seen}
        worst: tuple[Outcome, ...] = ("no", "waits", "by hand", "yes")
        return next((outcome for outcome in worst if outcome in found), "no")

    @property
    def conclusion(self) -> str:
        """What the outcome means and what a person has to do, as one sentence."""
        return CONCLUSIONS[self.outcome]


def is_settled(state: str, ack: str) -> bool:
    """Tell whether nothing more is to be waited for: answered, stopped, or published where no answer is expected."""
    return state in SETTLED or (state == "SENT" and ack == "none")


def checks_of_deliveries(
    step: str, deliveries: Sequence[Mapping[str, Any]], acks: Mapping[str, str], *, refusal: str = ""
) -> list[Check]:
    """Return at least one check a configured output: whether this step's message left, and what the receiver said.

    An output that got nothing is `no`, and so is one that got something and is not configured.

    Args:
        step: what was sent, in words (`revision 1, preliminary`).
        deliveries: the rows of the journal for this message.
        acks: how each configured output is confirmed, by the output's name in the journal.
        refusal: why the daemon told no rows; "" when it told them.
    """
    reached = {str(row["output"]) for row in deliveries}
    checks = [_check_of_row(step, row, acks) for row in deliveries]
    for output in acks.keys() - reached:
        checks.append(Check(f"{step}: {output} (ack {acks[output]})", "no", refusal or NOT_IN_FORCE))
    return sorted(checks, key=lambda check: check.text)


def _check_of_row(step: str, row: Mapping[str, Any], acks: Mapping[str, str]) -> Check:
    output, state = str(row["output"]), str(row["state"])
    if output not in acks:
        return Check(f"{step}: {output}", "no", f"{NOT_CONFIGURED}; file {row['final_name']}")
    outcome = _outcome(state, acks[output], str(row["reason_text"]))
    told = WORDS[state]
    if outcome == "by hand":
        told = BY_HAND_SENT if state == "SENT" else BY_HAND_UNSAYABLE
    words = f"{told} ({row['reason_text']})" if row["reason_text"] else told
    return Check(f"{step}: {output} (ack {acks[output]})", outcome, f"{words}; file {row['final_name']}")


def _outcome(state: str, ack: str, reason: str) -> Outcome:
    unanswered = state == "SENT" and ack == "none"
    unsayable = state == "PARKED" and CANNOT_SAY in reason
    if unanswered or unsayable:
        return "by hand"
    if state not in SETTLED:
        return "waits"
    return "yes" if SETTLED[state] == "yes" else "no"


def text_of_checklist(checklist: Checklist) -> str:
    """Return the checklist for a terminal."""
    lines = [f"{name:<12} {value}" for name, value in checklist.facts]
    lines += ["", "What the machine saw:"]
    lines += [f"  [{check.outcome:^7}] {check.text}: {check.seen}" for check in checklist.checks if check.seen]
    lines += ["", checklist.conclusion, "", "To be seen at the LIS by a person:"]
    lines += [f"  [       ] {check.text}" for check in checklist.checks if not check.seen]
    lines += ["", "Values to compare:"]
    lines += [f"  {name:<28} {value}" for name, value in checklist.expected]
    return "\n".join(lines)


def markdown_of_checklist(checklist: Checklist) -> str:
    """Return the checklist as Markdown."""
    lines = ["# Acceptance of the connection to the LIS", "", "Simulated data of no patient.", ""]
    lines += ["| | |", "|---|---|", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in checklist.facts)]
    lines += ["", "## What the machine saw", "", "| step and output | | seen |", "|---|---|---|"]
    lines += [f"| {_cell(c.text)} | **{c.outcome}** | {_cell(c.seen)} |" for c in checklist.checks if c.seen]
    lines += ["", f"**{checklist.conclusion}**", "", "## To be seen at the LIS by a person", ""]
    lines += [f"- [ ] {_cell(check.text)}" for check in checklist.checks if not check.seen]
    lines += ["", "## Values to compare", "", "| result | value |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in checklist.expected]
    lines += ["", "Name, date, signature: ______________________________", ""]
    return "\n".join(lines)


def html_of_checklist(checklist: Checklist) -> str:
    """Return the checklist as one HTML page that prints on A4; no script, no address to anywhere."""
    seen = "".join(
        f"<tr><td>{_text(c.text)}</td><td><b>{_text(c.outcome)}</b></td><td>{_text(c.seen)}</td></tr>"
        for c in checklist.checks if c.seen
    )  # fmt: skip
    by_hand = "".join(
        f'<tr><td class="box">&#9744;</td><td>{_text(c.text)}</td><td class="line"></td></tr>'
        for c in checklist.checks if not c.seen
    )  # fmt: skip
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Acceptance of the connection to the LIS</title>
<style>
@page {{ size: A4; margin: 18mm; }}
body {{ font: 10.5pt/1.4 system-ui, sans-serif; max-width: 180mm; margin: 1em auto; color: #111; }}
h1 {{ font-size: 16pt; }} h2 {{ font-size: 12pt; margin-top: 1.4em; }}
table {{ border-collapse: collapse; width: 100%; }} td {{ border-bottom: 0.5pt solid #999; padding: 2pt 4pt; }}
td {{ vertical-align: top; overflow-wrap: anywhere; }} .box {{ width: 6mm; }} .line {{ width: 40mm; }}
.sign {{ margin-top: 16mm; border-top: 0.5pt solid #111; width: 100mm; }} tr {{ break-inside: avoid; }}
</style></head><body>
<h1>Acceptance of the connection to the LIS</h1>
<p><b>Simulated data of no patient.</b></p>
<table>{_rows(checklist.facts)}</table>
<h2>What the machine saw</h2><table>{seen}</table>
<p><b>{_text(checklist.conclusion)}</b></p>
<h2>To be seen at the LIS by a person</h2><table>{by_hand}</table>
<h2>Values to compare</h2><table>{_rows(checklist.expected)}</table>
<p class="sign">Name, date, signature</p>
</body></html>
"""


def _rows(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in pairs)


def _text(text: str) -> str:
    return html.escape(text)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
