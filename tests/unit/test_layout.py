"""The layout of a network over a processor is measured once, kept per machine, and never changes an output."""

import json
import os

import pytest

from edge.engines.layout import Layout, Measured, batch_of_size, candidate_layouts, fastest, tuned_layout
from edge.engines.processors import cpu_quota, has_int8_dot_product, processor_name, usable_cores
from edge.errors import EdgeError

ONE, TWO, FOUR = Layout(1, 4), Layout(2, 2), Layout(4, 1)
FACTS = {"processor": "Xeon", "cores": 4, "openvino": "2026.4", "network": "ab" * 32}


class Machine:
    """Measures what it is told to and counts how often."""

    def __init__(self, **rates):
        self.rates = {ONE: 100.0, TWO: 150.0, FOUR: 120.0}
        self.digests = dict.fromkeys(self.rates, "same")
        self.asked = []

    def __call__(self, layout):
        self.asked.append(layout)
        return Measured(self.rates[layout], self.digests[layout])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache" / "network.layout.json"


def tuned(file, machine, facts=FACTS, candidates=(ONE, TWO, FOUR)):
    return tuned_layout(file, facts, candidates, machine)


@pytest.mark.parametrize(
    ("cores", "layouts"),
    [
        (1, {(1, 1)}),
        (2, {(2, 1), (1, 2)}),
        (3, {(2, 1), (1, 3)}),
        (8, {(2, 4), (1, 8), (4, 2)}),
        (64, {(2, 32), (1, 64), (4, 16)}),
    ],
)
def test_no_layout_uses_more_threads_than_there_are_cores(cores, layouts):
    found = candidate_layouts(cores)
    assert {(layout.copies, layout.threads) for layout in found} == layouts
    assert all(layout.copies * layout.threads <= cores for layout in found)


@pytest.mark.parametrize(("size_px", "batch"), [(32, 8), (112, 8), (160, 8), (224, 4), (299, 2), (1024, 2)])
def test_large_images_go_in_small_batches_and_never_alone(size_px, batch):
    assert batch_of_size(size_px) == batch


def test_the_fastest_layout_is_measured_once_and_kept(file):
    machine = Machine()
    assert tuned(file, machine) == TWO
    assert machine.asked == [ONE, TWO, FOUR]
    assert tuned(file, machine) == TWO
    assert len(machine.asked) == 3
    assert {row["copies"]: row["images_per_s"] for row in json.loads(file.read_text())["measured"]} == {
        1: 100.0, 2: 150.0, 4: 120.0,
    }  # fmt: skip


def test_a_layout_that_changes_one_bit_is_not_taken_however_fast(file):
    machine = Machine()
    machine.digests[TWO] = "another"
    assert tuned(file, machine) == FOUR


def test_what_is_hardly_faster_is_noise(file):
    measured = {ONE: Measured(100, "x"), TWO: Measured(104, "x")}
    assert fastest(measured) == ONE


@pytest.mark.parametrize(
    "change",
    [{"processor": "EPYC"}, {"cores": 2}, {"openvino": "2026.5"}, {"network": "cd" * 32}],
    ids=["processor", "cores", "library", "network"],
)
def test_another_machine_library_or_network_is_measured_anew(file, change):
    tuned(file, Machine())
    machine = Machine()
    machine.rates[FOUR] = 500.0
    assert tuned(file, machine, {**FACTS, **change}) == FOUR
    assert json.loads(file.read_text())["facts"] == {**FACTS, **change}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"null"], ids=["empty", "cut", "list", "text", "bytes", "null"]
)
def test_a_damaged_file_is_made_anew(file, content):
    tuned(file, Machine())
    file.write_bytes(content)
    machine = Machine()
    assert tuned(file, machine) == TWO
    assert len(machine.asked) == 3
    assert json.loads(file.read_text())["chosen"] == {"copies": 2, "threads": 2}


def test_a_kept_choice_that_is_no_candidate_is_not_believed(file):
    tuned(file, Machine())
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "chosen": {"copies": 4000, "threads": 1}}))
    machine = Machine()
    assert tuned(file, machine) == TWO
    assert machine.asked


def test_a_folder_that_others_can_write_into_is_refused(file):
    file.parent.mkdir()
    file.parent.chmod(0o777)
    with pytest.raises(EdgeError, match="MDSE-ENGINE-006"):
        tuned(file, Machine())


def test_a_place_that_cannot_be_written_costs_the_measurement_and_nothing_else(file):
    file.mkdir(parents=True)  # a folder stands where the file belongs
    file.parent.chmod(0o700)
    machine = Machine()
    assert tuned(file, machine) == TWO
    assert tuned(file, machine) == TWO
    assert len(machine.asked) == 6
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.fixture
def machine_files(tmp_path, monkeypatch):
    """Four processors in two cores, of which this process may use the first three, in a group below a group."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/machine.slice/edge.service\n")
    (proc / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One\n")
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        topology = sys / "devices/system/cpu" / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_cpus_list").write_text(siblings + "\n")
    (sys / "fs/cgroup/machine.slice/edge.service").mkdir(parents=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    return proc, sys


def quota(sys, group, text):
    (sys / "fs/cgroup" / group / "cpu.max").write_text(text)


def test_hyper_threads_of_one_core_count_once(machine_files):
    assert usable_cores(*machine_files) == 2


@pytest.mark.parametrize(
    ("inner", "outer", "cores"),
    [("max 100000", "max 100000", 2), ("150000 100000", "max 100000", 1), ("max 100000", "100000 100000", 1),
     ("50000 100000", "max 100000", 1), ("800000 100000", "max 100000", 2)],
)  # fmt: skip
def test_the_smallest_quota_on_the_way_to_the_root_counts(machine_files, inner, outer, cores):
    quota(machine_files[1], "machine.slice/edge.service", inner)
    quota(machine_files[1], "machine.slice", outer)
    assert usable_cores(*machine_files) == cores


def test_without_a_control_group_affinity_alone_counts(machine_files):
    (machine_files[0] / "self" / "cgroup").unlink()
    assert cpu_quota(*machine_files) is None
    assert usable_cores(*machine_files) == 2


def test_the_processor_has_its_name_from_the_kernel(machine_files):
    assert processor_name(machine_files[0]) == "Fast One"


@pytest.mark.parametrize(
    ("lines", "sums_in_32_bits"),
    [("flags\t\t: fpu avx2 avx512f avx512_vnni", True), ("flags\t\t: fpu avx2 avx_vnni", True),
     ("Features\t: fp asimd asimddp", True), ("flags\t\t: fpu avx2 avx512f avx512bw", False),
     ("flags\t\t: fpu avx2", False), ("bugs\t\t: avx512_vnni", False), ("", False)],
)  # fmt: skip
def test_a_processor_sums_int8_products_in_32_bits_only_where_the_kernel_says_so(machine_files, lines, sums_in_32_bits):
    (machine_files[0] / "cpuinfo").write_text(f"processor\t: 0\n{lines}\n")
    assert has_int8_dot_product(machine_files[0]) == sums_in_32_bits
