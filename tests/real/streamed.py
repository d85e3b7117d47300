"""Remote read's streamed answers, read as Prometheus's clients read them: frames, checksums, XOR chunks of floats.

Source of the formats: Prometheus's `prompb/remote.proto` and `tsdb/docs/format/chunks.md`.
"""

import struct
import urllib.request

from harness import Failed

TYPE = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
MATCH = {"=": 0, "!=": 1, "=~": 2, "!~": 3}


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    """A field of a message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    out, shift = 0, 0
    while True:
        byte = data[at]
        out, at, shift = out | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return out, at


def fields(message):
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        if tag & 7 == 0:
            value, at = read_varint(message, at)
        elif tag & 7 == 2:
            length, at = read_varint(message, at)
            value, at = message[at:at + length], at + length
        else:
            raise Failed(f"a field of kind {tag & 7}")
        yield tag >> 3, value


def snappy(data):
    """As literals, uncompressed."""
    out = varint(len(data))
    for at in range(0, len(data), 60):
        piece = data[at:at + 60]
        out += bytes([len(piece) - 1 << 2]) + piece
    return out


def table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


CRC = list(table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Bits:
    def __init__(self, data):
        self.number, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count):
        self.left -= count
        return self.number >> self.left & (1 << count) - 1

    def varint(self):
        out, shift = 0, 0
        while True:
            byte = self.take(8)
            out, shift = out | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return out


def xor_chunk(data):
    """[(milliseconds, bits of the value)]"""
    bits, samples = Bits(data[2:]), []
    time = bits.varint()
    time = time >> 1 ^ -(time & 1)
    value, leading, trailing, step = bits.take(64), 0, 0, 0
    samples.append((time, value))
    for number in range(1, int.from_bytes(data[:2], "big")):
        if number == 1:
            step = bits.varint()
        else:
            ones = 0
            while ones < 4 and bits.take(1):
                ones += 1
            width = (0, 14, 17, 20, 64)[ones]
            change = bits.take(width) if width else 0
            step += change - (1 << width) if width and change > 1 << width - 1 else change
        time += step
        if bits.take(1):
            if bits.take(1):
                leading, length = bits.take(5), bits.take(6)
                trailing = 64 - leading - (length or 64)
            value ^= bits.take(64 - leading - trailing) << trailing
        samples.append((time, value))
    return samples


def remote_read(url, matchers, start, end):
    """What a streamed remote read of [(name, op, value)] answers: [(labels, [(milliseconds, bits)])], as it comes."""
    query = field(1, start * 1000) + field(2, end * 1000)
    for name, op, value in matchers:
        query += field(3, field(1, MATCH[op]) + field(2, name.encode()) + field(3, value.encode()))
    body = snappy(field(1, query) + field(2, 1))
    headers = {"content-type": "application/x-protobuf", "content-encoding": "snappy",
               "x-prometheus-remote-read-version": "0.1.0"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as response:
        kind, data = response.headers["content-type"], response.read()
    if kind != TYPE:
        raise Failed(f"the answer is {kind}")
    at, series = 0, []
    while at < len(data):
        length, at = read_varint(data, at)
        [crc], message = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 4 + length]
        at += 4 + length
        if crc32c(message) != crc or length > 1 << 20:
            raise Failed(f"a frame of {length} bytes with the checksum {crc}")
        for number, one in fields(message):
            if number == 1:
                series.append(chunked_series(one))
    return series


def chunked_series(message):
    labels, samples = [], []
    for number, value in fields(message):
        if number == 1:
            pair = dict(fields(value))
            labels.append((pair[1].decode(), pair[2].decode()))
        else:
            chunk = dict(fields(value))
            found = xor_chunk(chunk[4])
            if (chunk[3], chunk[1], chunk[2]) != (1, found[0][0], found[-1][0]) or len(found) > 120:
                raise Failed(f"a chunk of {len(found)} samples: {chunk}")
            samples += found
    return labels, samples
