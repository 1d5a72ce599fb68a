"""The journal: one SQLite file that says what arrived, what was decided and what was delivered. The only truth.

    open_journal(path, now=...) -> Journal
      journal.slides   SlideBook    arrivals and their states
      journal.results  ResultBook   revisions and deliveries
      journal.change()              one transaction; every change of a state inside it leaves an audit row

WAL with synchronous=FULL loses no acknowledged commit in a power cut (WAL with NORMAL does: measured). There is exactly
one connection: SQLite before 3.51.3 can corrupt a WAL that two connections write and reset at the same time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from edge.audit import AuditEvent, append_audit
from edge.errors import EdgeError
from edge.journal_head import HEAD_NAME, JournalHead
from edge.journal_results import ResultBook
from edge.journal_schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION
from edge.journal_slides import SlideBook

JOURNAL_NAME = "journal.sqlite"
PROGRESS_STEPS = 1_000_000
"""SQLite's own steps between two calls of `on_progress`: some 10 ms."""
TRANSIENT = frozenset({
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
})  # fmt: skip
"""Primary result codes of SQLite."""
NETWORK_FILE_SYSTEMS = frozenset({"cifs", "smb3", "smbfs", "nfs", "nfs4", "9p", "fuse.sshfs", "ceph", "afs"})


class Journal:
    """The open journal. `now()` gives the wall clock as UTC ISO 8601; it dates rows and decides nothing."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], str], head: JournalHead) -> None:
        self.connection = connection
        self.now = now
        self._head = head
        self._depth = 0
        self.slides = SlideBook(self)
        self.results = ResultBook(self)

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Run one transaction; nested use joins the outer one. Anything raised inside undoes all of it."""
        if self._depth:
            yield
            return
        self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0
        self._head.write(newest_row(self.connection))

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Run changes inside `change()` and undo them at the end: whether they are possible is seen, nothing else."""
        self.connection.execute("SAVEPOINT trial")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK TO trial")
            self.connection.execute("RELEASE trial")

    def note(self, event: AuditEvent) -> None:
        """Append an audit row; must run inside `change()`, so that change and row are one."""
        if not self._depth:
            raise AssertionError("an audit row outside a transaction")
        append_audit(self.connection, self.now(), event)

    @property
    def journal_id(self) -> str:
        """The identity of this journal, made when the file was made."""
        return identity_of(self.connection)

    def close(self) -> None:
        """Close the connection; the log is folded into the main file."""
        self.connection.close()
        self._head.close()


def identity_of(connection: sqlite3.Connection) -> str:
    """Return the identity of a journal, made when its tables were made."""
    return str(connection.execute("SELECT value FROM meta WHERE name = 'journal_id'").fetchone()[0])


def newest_row(connection: sqlite3.Connection) -> int:
    """Return the number of the newest audit row."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()[0])


def open_journal(path: Path, *, now: Callable[[], str], on_progress: Callable[[], None] = lambda: None) -> Journal:
    """Open the journal at `path`, or make a new one; check it and bring it to the present version.

    The caller holds the lock of the state folder. `on_progress()` is called again and again while a large journal is
    checked. Raises EdgeError MDSE-JOURNAL-001 (damaged), -002 (written by a newer version), -003 (on a network file
    system), -004 (another program's file), -014 (older than it was). A damaged journal is never replaced by an empty
    one: that would send every slide in the export folder again.
    """
    file_system = file_system_of(path.parent)
    if file_system in NETWORK_FILE_SYSTEMS:
        raise EdgeError("MDSE-JOURNAL-003", where=str(path), file_system=file_system)
    is_new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)

    def go_on() -> int:
        on_progress()
        return 0  # anything else would interrupt the check

    try:
        connection.set_progress_handler(go_on, PROGRESS_STEPS)
        prepare_connection(connection)
        if is_new or is_blank(connection):
            create_tables(connection, now)
        else:
            check_journal(connection, path)
            migrate_journal(connection, now)
        fold_log(connection)
        path.chmod(0o600)
        head = JournalHead(path.with_name(HEAD_NAME), identity_of(connection))
        head.prove(newest_row(connection), path)
        connection.set_progress_handler(None, 0)
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_transient(error):
            raise
        raise EdgeError("MDSE-JOURNAL-001", where=str(path), reason=str(error)) from error
    except BaseException:
        connection.close()
        raise
    return Journal(connection, now, head)


def fold_log(connection: sqlite3.Connection) -> None:
    """Write what the log holds into the database, synced. Raises sqlite3.OperationalError when that is not possible.

    After a failed sync nobody knows what of the log is on disk, and syncing it again may claim success: its content,
    still good in memory, is written to another file and that one is synced.
    """
    busy, in_log, folded = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy or in_log != folded:
        # Another program reads the journal: that passes, and is no damage.
        error = sqlite3.OperationalError(f"the log could not be folded in ({busy}, {folded} of {in_log} pages)")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error


def prepare_connection(connection: sqlite3.Connection) -> None:
    """Set what makes a commit durable and a schema harmless, and verify that SQLite agreed."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cell_size_check = ON")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    connection.execute("PRAGMA synchronous = FULL")
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or level != 2:  # 2 is FULL in SQLite's documentation
        raise sqlite3.DatabaseError(f"journal_mode {mode}, synchronous {level} instead of wal, 2")


def is_blank(connection: sqlite3.Connection) -> bool:
    """Tell whether the file holds no table yet: the process ended between making the file and its first commit."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0)


def create_tables(connection: sqlite3.Connection, now: Callable[[], str]) -> None:
    """Make the tables of a new journal in one transaction."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
    )
    connection.execute("INSERT INTO meta VALUES ('journal_id', ?)", (uuid.uuid4().hex,))
    append_audit(connection, now(), AuditEvent("daemon", "journal made", "journal"))
    connection.execute("COMMIT")


def check_journal(connection: sqlite3.Connection, path: Path) -> None:
    """Check file, owner and version of an existing journal; raises EdgeError MDSE-JOURNAL-*."""
    problems = [row[0] for row in connection.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
    if problems:
        raise EdgeError("MDSE-JOURNAL-001", where=str(path), reason="; ".join(problems))
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise EdgeError("MDSE-JOURNAL-004", where=str(path))
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise EdgeError("MDSE-JOURNAL-002", where=str(path), version=version, known=SCHEMA_VERSION)


def migrate_journal(connection: sqlite3.Connection, now: Callable[[], str]) -> None:
    """Bring an older journal to the present version, all steps in one transaction with their audit row.

    Killed or refused in the middle, the journal is as it was and the version that wrote it still opens it.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, SCHEMA_VERSION):
            for statement in MIGRATIONS[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        event = AuditEvent("daemon", "journal migrated", "journal", str(version), str(SCHEMA_VERSION))
        append_audit(connection, now(), event)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_transient(error: sqlite3.Error) -> bool:
    """Tell whether an SQLite error can pass by itself: a full or failing disk, a busy file, too little memory.

    SQLITE_READONLY is a failing disk, too: SQLite opens for reading alone what it cannot open for writing.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in TRANSIENT


def file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds `folder` (from the kernel's mount table; longest mount wins)."""
    target = os.fsencode(folder.resolve())
    best, name = b"", b""
    with Path("/proc/self/mounts").open("rb") as mounts:
        for line in mounts:
            _, point, kind, *_ = line.split(b" ")
            point = point.replace(b"\\040", b" ")
            inside = target == point or target.startswith(point.rstrip(b"/") + b"/")
            if inside and len(point) >= len(best):
                best, name = point, kind
    return os.fsdecode(name)
