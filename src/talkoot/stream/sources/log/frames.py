"""Record batches as messages of Arrow's IPC format, each with its place in the stream and a checksum.

A segment is an Arrow IPC stream that other programs read as it is. What we add stands in the custom metadata
of each message, in numbers of fixed width: the first row, rows, bytes of the whole message, the CRC-32 of
these, and one of the segment's schema and of the message, taken with zeros in the place of the checksum.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any, final

import pyarrow as pa
import pyarrow.compute as pc

from talkoot.core.errors import DataError

NUMBERS = "row={:020d} rows={:010d} bytes={:012d}"
PLACED = re.compile(rb"(row=(\d{20}) rows=(\d{10}) bytes=(\d{12})) head=([0-9a-f]{8}) crc=([0-9a-f]{8})")
PREFIX = 8  # bytes in front of the metadata of a message: the mark, and its length
MARK = b"\xff\xff\xff\xff"
MOST_METADATA = 1 << 26  # bytes; a larger number is damage
END = MARK + b"\0\0\0\0"  # what Arrow writes behind the last message


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands in the stream, and how to check it."""

    row: int
    rows: int
    size: int  # bytes of the whole message
    crc: int
    crc_at: int  # where the checksum stands in the message


def schema_bytes(schema: Any) -> bytes:
    """What a segment starts with."""
    return bytes(schema.serialize().to_pybytes())


def plain(batch: Any) -> Any:
    """A batch without dictionaries, which Arrow would write apart from it.

    Raises:
        DataError: there is one inside of a nested column.
    """
    for at, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            values = pc.cast(batch.column(at), field.type.value_type)
            batch = batch.set_column(at, pa.field(field.name, values.type), values)
        elif pa.types.is_nested(field.type) and "dictionary<" in str(field.type):
            raise DataError("a nested column holds categories", column=field.name, cure="Cast them to text.")
    return batch


def message_of(batch: Any, row: int, schema: bytes) -> bytearray:
    """The message of a batch whose first row is `row`, in a segment that starts with `schema`."""
    out = pa.BufferOutputStream()
    place = placed(row, batch.num_rows, 0)
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_batch(batch, custom_metadata={b"talkoot": place})
    message = bytearray(memoryview(out.getvalue())[len(schema) : -len(END)])
    at = message.index(place)
    message[at : at + len(place)] = placed(row, batch.num_rows, len(message))
    crc_at = at + len(place) - 8
    message[crc_at : crc_at + 8] = f"{checksum(message, crc_at, schema):08x}".encode()
    return message


def placed(row: int, rows: int, size: int) -> bytes:
    """What states the place of a message, with zeros in the place of its checksum."""
    numbers = NUMBERS.format(row, rows, size).encode()
    return numbers + f" head={zlib.crc32(numbers):08x} crc={0:08x}".encode()


def checksum(message: bytes | bytearray | memoryview, crc_at: int, schema: bytes) -> int:
    """The CRC-32 of a segment's schema and a message, with zeros in the place of the checksum."""
    view = memoryview(message)
    crc = zlib.crc32(b"00000000", zlib.crc32(view[:crc_at], zlib.crc32(schema)))
    return zlib.crc32(view[crc_at + 8 :], crc)


def metadata_size(prefix: bytes) -> int | None:
    """Bytes of the metadata of the message that starts with `prefix`: 0 at the end; None for others."""
    if len(prefix) < PREFIX or prefix[:4] != MARK:
        return None
    size = int.from_bytes(prefix[4:8], "little")
    return size if size < MOST_METADATA else None


def place_in(head: bytes) -> Place | None:
    """What the head of a message states of its place; None where it does not, or is damaged."""
    found = PLACED.search(head)
    if found is None or zlib.crc32(found[1]) != int(found[5], 16):
        return None
    return Place(int(found[2]), int(found[3]), int(found[4]), int(found[6], 16), found.start(6))


def batch_of(message: Any, place: Place, schema: Any, schema_prefix: bytes) -> Any | None:
    """The batch of a message; None where its checksum or its rows are wrong."""
    if checksum(memoryview(message), place.crc_at, schema_prefix) != place.crc:
        return None
    batch = pa.ipc.read_record_batch(pa.ipc.read_message(message), schema)
    return batch if batch.num_rows == place.rows else None
