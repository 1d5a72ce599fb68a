"""How the daemon is: one snapshot for the control socket, the metrics file and `systemctl status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edge
from edge.audit import audit_head
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.house import House
from edge.daemon.outbox import OutputKeeper
from edge.daemon.reconciliation import OUTCOMES
from edge.daemon.sources import SourceKeeper
from edge.daemon.waiting import (
    WAITS_FOR_A_PERSON,
    age_s,
    oldest_uncollected_s,
    oldest_undelivered_s,
    oldest_without_result,
)


def take_snapshot(
    house: House, sources: list[SourceKeeper], analysis: AnalysisKeeper, outputs: list[OutputKeeper]
) -> dict[str, Any]:
    """Return the daemon's state as JSON takes it; ages in seconds, by the wall clock where they span a restart."""
    journal, now_s = house.books.journal, house.monotonic()
    oldest = oldest_without_result(journal)
    rows, head = audit_head(journal.connection)
    return {
        "software": f"mds-edge {edge.__version__}",
        "site": house.books.config.site.id,
        "slides": journal.slides.counts(),
        "duplicates_to_decide": house.duplicates_to_decide.value(journal, now_s),
        "deliveries": journal.results.counts(),
        "oldest_without_result_s": 0.0 if oldest is None else age_s(house, oldest[0]),
        "oldest_without_result": None if oldest is None else oldest[1],
        "oldest_undelivered_s": oldest_undelivered_s(house),
        "oldest_uncollected_s": oldest_uncollected_s(house),
        "account": dict(house.account),
        "model": {"ready": analysis.is_ready, "device": analysis.device, "degraded": analysis.is_degraded}
        | analysis.facts,
        "gpu": None if analysis.devices.configured == "cpu" else gpu_facts(analysis),
        "in_work": analysis.in_work,
        "sources": {
            keeper.source.id: {
                "folders": keeper.folders_seen,
                "away": house.alarms.is_raised(f"source-{keeper.source.id}"),
                "looked_s_ago": round(keeper.looked_s_ago(now_s), 1),
            }
            for keeper in sources
        },
        "outputs": {
            keeper.journal_name: {"ready": keeper.is_settled and not keeper.is_away, "rename": keeper.method}
            for keeper in outputs
        },
        "restarts": dict(house.restarts),
        "alarms": house.alarms.listed(now_s),
        "audit": {"rows": rows, "head": head},
    }


def gpu_facts(analysis: AnalysisKeeper) -> dict[str, Any]:
    """Return how the GPU and its plan are, for a site that configured one."""
    return analysis.devices.facts() | {"plan": analysis.plans.facts()}


def status_line(snapshot: dict[str, Any]) -> str:
    """Return the one line that `systemctl status` shows."""
    slides, alarms = snapshot["slides"], snapshot["alarms"]
    waiting = sum(slides[state] for state in ("SEEN", "SETTLED", "SPOOLED", "WAITING_SOURCE"))
    model = "ready" if snapshot["model"]["ready"] else "not ready"
    parts = [f"{waiting} waiting", f"{slides['CLOSED']} closed", f"model {model}"]
    parts += [f"{slides[state]} {state}" for state in WAITS_FOR_A_PERSON if slides[state]]
    if snapshot["duplicates_to_decide"]:
        parts.append(f"{snapshot['duplicates_to_decide']} DUPLICATE to decide")
    if snapshot["model"]["degraded"]:
        parts.append(degraded_text(snapshot["gpu"]))
    if alarms:
        parts.append(f"{len(alarms)} ALARMS, first: {alarms[0]['name']}")
    return ", ".join(parts)


def degraded_text(gpu: dict[str, Any]) -> str:
    """Return why slides run on the CPU, and for how long still as far as is known."""
    text = f"DEGRADED: running on the CPU, {gpu['configured']} {gpu['state']}"
    plan = gpu["plan"]
    if plan["state"] == "building":
        last = f" (the last one took {plan['last_build_s']:.0f} s)" if plan["last_build_s"] else ""
        return f"{text}, building for {plan['elapsed_s']:.0f} s{last}"
    return f"{text}, tried again in {gpu['retry_in_s']:.0f} s" if gpu["state"] == "out of order" else text


def metrics_text(snapshot: dict[str, Any]) -> str:
    """Return the snapshot in Prometheus' text form (exposition format 0.0.4)."""
    lines: list[str] = []

    def add(name: str, kind: str, help_text: str, values: dict[str, float]) -> None:
        lines.append(f"# HELP mds_edge_{name} {help_text}")
        lines.append(f"# TYPE mds_edge_{name} {kind}")
        lines.extend(f"mds_edge_{name}{labels} {value:g}" for labels, value in values.items())

    def labelled(label: str, values: dict[str, Any]) -> dict[str, float]:
        return {f'{{{label}="{escaped(key)}"}}': float(value) for key, value in values.items()}

    add("slides", "gauge", "Slides in the journal by state.", labelled("state", snapshot["slides"]))
    copies = {"": float(snapshot["duplicates_to_decide"])}
    add("duplicates_to_decide", "gauge", "Copies of slides that give no result: a person has to decide.", copies)
    add("deliveries", "gauge", "Deliveries in the journal by state.", labelled("state", snapshot["deliveries"]))
    oldest = {"": snapshot["oldest_without_result_s"]}
    add("oldest_slide_without_result_seconds", "gauge", "Age of the oldest slide that waits for its result.", oldest)
    undelivered = {"": snapshot["oldest_undelivered_s"]}
    add("oldest_undelivered_seconds", "gauge", "Age of the oldest result that has not left.", undelivered)
    uncollected = {"": snapshot["oldest_uncollected_s"]}
    add("oldest_uncollected_seconds", "gauge", "Age of the oldest result that nobody has taken.", uncollected)
    if account := snapshot["account"]:
        missing = float(account["difference"])
        add("account_slides", "gauge", "Slides by outcome at the last daily account.", labelled("outcome", {
            name: account[name] for name in ("seen", *OUTCOMES) if isinstance(account[name], int)
        }))  # fmt: skip
        add("account_difference", "gauge", "Slides seen that are not accounted for; 0 is right.", {"": missing})
    add("model_ready", "gauge", "1 when slides can be analyzed.", {"": float(snapshot["model"]["ready"])})
    facts = {name: str(snapshot["model"].get(name, "")) for name in ("bundle", "version", "digest")}
    info = ",".join(f'{name}="{escaped(value)}"' for name, value in facts.items())
    add("model_info", "gauge", "The bundle that is open.", {f"{{{info}}}": float(snapshot["model"]["ready"])})
    looks = {name: source["looked_s_ago"] for name, source in snapshot["sources"].items()}
    add("source_looked_seconds", "gauge", "Seconds since the last whole look at a source.", labelled("source", looks))
    add(
        "degraded",
        "gauge",
        "1 when slides run on another device than configured.",
        {"": float(snapshot["model"]["degraded"])},
    )
    gpu = snapshot["gpu"]
    if gpu is not None:
        add("gpu_state", "gauge", "1 for the state the GPU is in.", labelled("state", {gpu["state"]: 1}))
        add("gpu_faults_total", "counter", "Faults of the GPU since the start.", {"": float(gpu["faults"])})
        add("gpu_retry_seconds", "gauge", "Seconds until the GPU is tried again.", {"": gpu["retry_in_s"]})
        add("gpu_plan_state", "gauge", "1 for the state the plan is in.", labelled("state", {gpu["plan"]["state"]: 1}))
        add("gpu_plan_builds_total", "counter", "Plans built since the start.", {"": float(gpu["plan"]["builds"])})
    add("child_restarts_total", "counter", "Children that had to be replaced.", labelled("child", snapshot["restarts"]))
    add(
        "alarm",
        "gauge",
        "1 for every alarm that is up.",
        {f'{{name="{escaped(a["name"])}"}}': 1.0 for a in snapshot["alarms"]},
    )
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return a label value as the exposition format wants it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_metrics(path: Path, snapshot: dict[str, Any]) -> None:
    """Replace the metrics file as a whole, readable for the node exporter; not synced: it says only what is now.

    Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(metrics_text(snapshot), encoding="ascii", errors="backslashreplace")
    temporary.chmod(0o644)
    temporary.replace(path)
