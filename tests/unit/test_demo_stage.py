"""What edge-demo refuses before it makes anything, and says why."""

from __future__ import annotations

import socket

import pytest

from edge.commands.demo import main
from edge.config_values import SOCKET_PATH_BYTES_MAX
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.demo.stage import set_stage
from edge.errors import EdgeError


def folder_of_length(parent, length_bytes):
    """A folder below `parent` whose path has so many bytes; every name in it is one that a file system takes."""
    missing = length_bytes - len(bytes(parent)) - 1
    return parent / ("ü" * (missing // 2) + "x" * (missing % 2))


def test_a_folder_whose_path_is_too_long_for_the_daemons_socket_is_refused_before_anything_is_made(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    long = folder_of_length(tmp_path, max(120, len(bytes(tmp_path)) + 10))
    assert main(["--keep", str(long), "--slides", "1"]) == 2
    said = capsys.readouterr().err
    assert "MDSE-SIM-052" in said
    assert f"by {len(bytes(long / 'state/control.sock')) - SOCKET_PATH_BYTES_MAX} bytes" in said
    assert not long.exists()


def test_the_longest_folder_that_is_taken_has_sockets_that_can_be_bound(tmp_path):
    room = SOCKET_PATH_BYTES_MAX - len("/state/control.sock")
    if len(bytes(tmp_path)) + 4 > room:
        pytest.skip("the folder of this test is too long itself")
    stage = set_stage(folder_of_length(tmp_path, room), DEMO_BUNDLE, DEMO_PUBLIC_KEY)
    for path in (stage.control_socket, stage.notify_socket):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(path))
    with pytest.raises(EdgeError, match="MDSE-SIM-052"):
        set_stage(folder_of_length(tmp_path, room + 1), DEMO_BUNDLE, DEMO_PUBLIC_KEY)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "many"])
def test_a_number_of_slides_that_is_none_is_refused_at_once(number, capsys):
    with pytest.raises(SystemExit) as ended:
        main([f"--slides={number}"])
    assert ended.value.code == 2
    assert "--slides" in capsys.readouterr().err
