"""A GPU that fails in every way we can think of: each slide gets its result, says so, and none is set aside for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edge.audit import verify_audit
from tests.fault.site import Site

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

from bundles import PUBLIC_KEY
from bundles import write_slide as write_painted
from fake_machine import gpu_bundle

ANALYZER = "tests.fault.fake_gpu_analyzer:open_gpu_analyzer"
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    gpu_bundle(folder / "bundle")
    (folder / "public.pem").write_bytes(PUBLIC_KEY)
    return folder


class GpuSite(Site):
    """A site with a GPU that does what its file says. Pauses stay at 1 s: that they grow, test_trouble.py proves."""

    def __init__(self, root: Path, bundle: Path, *, state: str = "ok", **settings: object) -> None:
        key = f'public_key = "{bundle}/public.pem"'
        given = {"engine": "retry_s = 1", **settings}
        super().__init__(root, test_analyzer=ANALYZER, bundle=bundle / "bundle", key=key, device="gpu", **given)
        self.slides = 0
        self.gpu = root / "gpu"
        self.gpu.write_text(state)

    def command(self, *arguments: str) -> list[str]:
        patched = ["-m", "tests.fault.patched_daemon", "pauses_do_not_grow"]
        return [sys.executable, *patched, *super().command(*arguments)[3:]]

    def begin(self) -> None:
        self.start(MDS_EDGE_TEST_GPU=str(self.gpu))
        self.wait_ready()

    def gpu_facts(self) -> dict:
        return self.ask("status")["gpu"]

    def wait_gpu(self, state: str) -> None:
        def is_so() -> bool:
            status = self.ask("status")
            return status["gpu"]["state"] == state and status["model"]["ready"]

        self.wait_for(is_so, f"the GPU is {state}", PATIENCE_S)

    def export_slide(self, name: str, sample_id: str) -> None:
        part = self.export / f".{name}.part"
        self.slides += 1  # another order of cells makes other bytes: equal slides of two samples would be held
        types = ["SNE", "LY", "BL", "MO", "EO"]
        write_painted(part, [types[(place * self.slides) % 5] for place in range(4)] + ["LY"], sample_id=sample_id)
        part.rename(self.export / name)

    def record(self, name: str) -> dict:
        self.wait_for(lambda: self.state_of(name) == "CLOSED", f"{name} is CLOSED", PATIENCE_S)
        records = [json.loads(path.read_bytes()) for path in self.results()]
        (found,) = [record for record in records if record["slide"]["slide_key"] == name]
        return found

    def metrics(self) -> str:
        return (self.root / "run" / "metrics.prom").read_text()

    def actions(self) -> list[str]:
        connection = self.journal()
        assert verify_audit(connection).broken_at is None
        found = [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY seq")]
        connection.close()
        return found


def ran_on(record: dict) -> tuple[str, bool]:
    return record["provenance"]["engine"]["device"], record["provenance"]["degraded"]


@pytest.fixture
def opened(tmp_path, bundle):
    made = []

    def make(**settings):
        made.append(GpuSite(tmp_path, bundle, **settings))
        return made[-1]

    yield make
    for site in made:
        site.close()


def test_slides_run_on_the_cpu_while_the_plan_is_built_and_on_the_gpu_afterwards(opened):
    site = opened(state="slow")
    site.begin()
    site.wait_gpu("no plan")
    site.export_slide("FIRST", "S1")
    first = site.record("FIRST")
    status = site.ask("status")
    assert ran_on(first) == ("cpu", True)
    assert (status["gpu"]["plan"]["state"], status["gpu"]["plan"]["last_build_s"]) == ("building", 42.0)
    assert any(alarm["name"] == "degraded" and "no plan yet" in alarm["text"] for alarm in status["alarms"])
    site.wait_for(lambda: 'mds_edge_gpu_plan_state{state="building"} 1' in site.metrics(), "the metrics say so")
    site.gpu.write_text("ok")
    site.wait_gpu("running")
    site.export_slide("SECOND", "S2")
    second = site.record("SECOND")
    assert ran_on(second) == ("gpu", False)
    assert second["provenance"]["engine"]["name"] == "tensorrt"
    assert not any(alarm["name"] in ("degraded", "plan") for alarm in site.ask("status")["alarms"])
    assert site.gpu_facts()["faults"] == 0
    assert "plan_builder" not in site.children()
    assert site.stop() == 0
    actions = site.actions()
    assert [a for a in actions if a in ("device lost", "plan built", "device back")] == [
        "device lost", "plan built", "device back",
    ]  # fmt: skip


@pytest.mark.case("C19")
def test_a_fault_in_the_middle_of_a_slide_repeats_it_whole_on_the_cpu_and_costs_it_no_attempt(opened):
    site = opened(attempts=1, worker_budget_s=10)
    site.begin()
    site.wait_gpu("running")
    said = {
        "GPU-LOST": "MDSE-GPU-003",
        "GPU-MEMORY": "MDSE-GPU-002",
        "GPU-DIES": "ended with a slide in hand",
        "GPU-HANGS": "silent beyond its budget",
    }
    for faults, (sample_id, words) in enumerate(said.items(), start=1):
        site.export_slide(f"BAD-{sample_id}", sample_id)
        record = site.record(f"BAD-{sample_id}")
        assert ran_on(record) == ("cpu", True)
        assert record["images"] == 5
        facts = site.gpu_facts()
        assert words in facts["last_fault"]
        assert facts["faults"] == faults
        shown = site.ask("show", slide=f"di60/BAD-{sample_id}")["slide"]
        assert (shown["state"], shown["attempts"]) == ("CLOSED", 0)
        site.wait_gpu("running")
    site.wait_for(lambda: "mds_edge_gpu_faults_total 4" in site.metrics(), "the metrics count them")
    site.export_slide("GOOD", "S1")
    assert ran_on(site.record("GOOD")) == ("gpu", False)
    assert site.ask("status")["slides"]["QUARANTINED"] == 0
    assert site.stop() == 0
    actions = site.actions()
    assert actions.count("device lost") == actions.count("device back") == 5, "once for the plan, four times for faults"


def test_a_gpu_that_is_out_of_order_after_a_restart_leaves_the_cpu_and_comes_back_by_itself(opened):
    site = opened()
    site.begin()
    site.wait_gpu("running")
    said = {
        "absent": "MDSE-GPU-001",
        "small": "MDSE-GPU-002",
        "dies": "ended while it opened the device",
        "wrong": "MDSE-BUNDLE-014",
    }
    for state, words in said.items():
        assert site.stop() == 0
        site.gpu.write_text(state)
        site.export_slide(f"WITH-{state}", f"S-{state}")  # before the start: the CPU has it while the GPU is away
        site.begin()
        site.wait_gpu("out of order")
        assert words in site.gpu_facts()["last_fault"]
        assert ran_on(site.record(f"WITH-{state}")) == ("cpu", True)
        site.gpu.write_text("ok")
        site.wait_gpu("running")
    assert site.gpu_facts()["plan"] == {"state": "idle", "builds": 0}, "the plan was found again every time"


def test_a_build_that_fails_is_an_alarm_and_a_plan_that_was_damaged_is_built_anew(opened):
    site = opened(state="refuses")
    site.begin()

    def plan_alarm() -> bool:
        return any(alarm["name"] == "plan" for alarm in site.ask("status")["alarms"])

    site.wait_for(plan_alarm, "the alarm", PATIENCE_S)
    site.gpu.write_text("builder-dies")
    site.wait_for(lambda: site.ask("status")["restarts"].get("plan_builder", 0) >= 2, "the builder died", PATIENCE_S)
    site.export_slide("MEANWHILE", "S1")
    assert ran_on(site.record("MEANWHILE")) == ("cpu", True)
    site.gpu.write_text("ok")
    site.wait_gpu("running")
    assert not plan_alarm()
    assert site.stop() == 0
    assert site.actions().count("plan built") == 1
    (plan,) = (site.root / "state" / "cache" / "plans").glob("*.plan")
    sound = plan.read_bytes()
    plan.write_bytes(sound[:-4])
    site.begin()
    site.wait_gpu("running")
    assert plan.read_bytes() == sound
    assert site.gpu_facts()["plan"]["builds"] == 1


def test_stopping_in_the_middle_of_a_build_leaves_nothing_behind(opened):
    site = opened(state="slow")
    site.begin()
    site.wait_for(lambda: "plan_builder" in site.children(), "the builder", PATIENCE_S)
    builder = site.children()["plan_builder"]
    assert site.stop() == 0
    assert not Path(f"/proc/{builder}").exists()
    assert "plan failed" not in site.actions()
