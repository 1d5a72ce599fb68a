"""Which reader a file needs: by what it begins with, and only where that says nothing by the ending of its name."""

from __future__ import annotations

from edge.simulator.lis_fhir import message_from_bundle
from edge.simulator.lis_message import message_from_bytes
from edge.simulator.lis_received import ReceivedMessage
from edge.simulator.lis_record import message_from_record
from edge.simulator.lis_records import message_from_records
from edge.simulator.lis_tables import message_from_long_table, message_from_wide_table

ENDINGS = (".hl7", ".astm", ".csv", ".json")


def message_from_file(name: str, content: bytes, *, offsets: bool = True) -> ReceivedMessage:
    """Read one file of any format. Whatever is wrong with it is in `faults`; never raises.

    `offsets` False: the HL7 reader is one that cannot read a time with an offset from UTC.
    """
    if content.startswith(b"MSH") or name.endswith(".hl7"):
        return message_from_bytes(content, offsets=offsets)
    if content.startswith(b"H|") or name.endswith(".astm"):
        return message_from_records(content)
    if content.startswith(b"{") or name.endswith(".json"):
        # A record says so in its first field; a file too short to tell is no JSON to either.
        if b'"schema"' in content[:20] or b'"resourceType"' not in content[:200]:
            return message_from_record(content)
        return message_from_bundle(content)
    return message_from_wide_table(content) if content.startswith(b",") else message_from_long_table(content)
