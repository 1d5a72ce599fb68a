"""`edge-daemon`: watch the export folders, analyze every slide, hand the results to the LIS."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EXIT_DONE, EdgeError, run_command

DESCRIPTION = """\
Runs until it is stopped (SIGTERM). Every slide that arrives leaves a result or a stated reason; after a crash or a
power cut it goes on where the journal says. Usually started by systemd (mds-edge.service).

exit status: 0 stopped, or everything that was checked is well; 2 wrong options; 4 the bundle does not fit; 75 another
daemon has the state folder or what the start needs fails at this moment: try again; 78 configuration or bundle cannot
be used (systemd tries neither 4 nor 78 again)
"""
EXAMPLES = """\
examples:
  sudo -u mds-edge edge-daemon --config /etc/mds-edge/mds-edge.toml --check-config
  edge-daemon --config mds-edge.toml --verbose
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon, or check the configuration and what it names."""
    parser = argparse.ArgumentParser(
        "edge-daemon", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration (docs/config.md)")
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="try the file, the folders and the bundle, then end: as the service's user (sudo -u mds-edge edge-daemon "
        "...); the unit's file rules are not tried",
    )
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG: then ids of slides are readable")
    # For tests alone: worker.py refuses it unless MDS_EDGE_TEST_ANALYZER is set, and only test results may leave.
    parser.add_argument("--test-analyzer", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    return run_command(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    import os

    from edge.config import Config, load_config
    from edge.config_places import check_places
    from edge.daemon.control import try_socket
    from edge.daemon.environment import check_environment
    from edge.daemon.supervisor import check_bundle_use, run_daemon
    from edge.daemon.worker import ALLOW_TEST_ANALYZER
    from edge.engines.process_memory import keep_large_blocks_apart
    from edge.logs import configure_logging

    configure_logging(logging.DEBUG if arguments.verbose else logging.INFO)
    if arguments.test_analyzer and not os.environ.get(ALLOW_TEST_ANALYZER):
        raise EdgeError("MDSE-DAEMON-009", where=arguments.test_analyzer, variable=ALLOW_TEST_ANALYZER)
    config = load_config(arguments.config)
    if not arguments.test_analyzer:
        check_bundle_use(config)
    if arguments.check_config:
        from edge.daemon.start_check import check_start

        for line in check_start(config):
            print(line)
        return EXIT_DONE
    check_places(config)
    # A test's analyzer brings its own module path, whoever starts it.
    environment = {**os.environ, "INVOCATION_ID": ""} if arguments.test_analyzer else os.environ
    for fault in check_environment(environment):
        logging.getLogger("mds_edge.daemon").warning("environment: %s", fault)

    in_force = config

    def reload() -> Config:
        nonlocal in_force
        fresh = load_config(arguments.config)
        if not arguments.test_analyzer:
            check_bundle_use(fresh)
        if fresh.site.state_dir != config.site.state_dir:
            raise EdgeError("MDSE-CONFIG-007", where=str(arguments.config), key="site.state_dir")
        check_places(fresh)
        if fresh.health.socket != in_force.health.socket:
            try_socket(fresh.health.socket)
        in_force = fresh
        return fresh

    keep_large_blocks_apart()  # of the supervisor alone: its children are programs of their own
    run_daemon(config, test_analyzer=arguments.test_analyzer, reload=reload)
    return EXIT_DONE


if __name__ == "__main__":
    raise SystemExit(main())
