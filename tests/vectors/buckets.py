#!/usr/bin/env python3
"""Computes the bucket of a key from the published definition, without our engine.

    bucket = xxh64(key, seed) % 10_000
    seed   = 0 when the salt is empty, else xxh64(salt, 0)

Prints `buckets.json`; with `--check`, compares it with the file instead; with
`KEY [SALT]`, prints one bucket. xxHash64 is written out here after its
specification (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), so that
nothing needs to be installed.
"""

import json
import pathlib
import sys

MASK = (1 << 64) - 1
P1 = 0x9E3779B185EBCA87
P2 = 0xC2B2AE3D27D4EB4F
P3 = 0x165667B19E3779F9
P4 = 0x85EBCA77C2B2AE63
P5 = 0x27D4EB2F165667C5


def rotate(value, bits):
    value &= MASK
    return (value << bits | value >> (64 - bits)) & MASK


def mix(lane, word):
    return rotate(lane + word * P2, 31) * P1 & MASK


def xxh64(data, seed):
    words = lambda size, start, end: (
        int.from_bytes(data[i : i + size], "little") for i in range(start, end, size)
    )
    stripes = len(data) // 32 * 32
    if stripes:
        lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
        for index, word in enumerate(words(8, 0, stripes)):
            lanes[index % 4] = mix(lanes[index % 4], word)
        hash = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18)))
        for lane in lanes:
            hash = ((hash ^ mix(0, lane)) * P1 + P4) & MASK
    else:
        hash = seed + P5
    hash = (hash + len(data)) & MASK
    eights = stripes + (len(data) - stripes) // 8 * 8
    for word in words(8, stripes, eights):
        hash = rotate(hash ^ mix(0, word), 27) * P1 + P4 & MASK
    if len(data) - eights >= 4:
        for word in words(4, eights, eights + 4):
            hash = rotate(hash ^ word * P1, 23) * P2 + P3 & MASK
        eights += 4
    for byte in data[eights:]:
        hash = rotate(hash ^ byte * P5, 11) * P1 & MASK
    hash = (hash ^ hash >> 33) * P2 & MASK
    hash = (hash ^ hash >> 29) * P3 & MASK
    return hash ^ hash >> 32


def bucket(key, salt=""):
    seed = xxh64(salt.encode(), 0) if salt else 0
    return xxh64(key.encode(), seed) % 10_000


def keys():
    yield ""
    # Every remainder of 32, 8 and 4 bytes, and one stripe more.
    text = "abcdefghijklmnopqrstuvwxyz0123456789"
    for length in range(1, len(text) + 1):
        yield text[:length]
    for number in (0, 1, 7, 42, 123, 999, 1000, 65535):
        yield f"user{number}"
    yield "3f2b8c1e-6d1a-4f0e-9c57-0a1b2c3d4e5f"
    yield "alice@example.com"
    yield "192.0.2.17"
    yield "2001:db8::17"
    yield " "
    yield "a b"
    yield "quote\" back\\slash /"
    yield "line\nbreak\ttab"
    yield "zero\u0000byte"
    yield "\u00fcmlaut"
    yield "\u65e5\u672c\u8a9e"
    yield "\u0438\u0432\u0430\u043d"
    yield "\U0001f600"
    yield "clef\U0001d11eclef"
    yield "e\u0301"
    for length in (63, 64, 65, 127, 128, 1000, 1024):
        yield ("0123456789abcdef" * 64)[:length]


def document():
    salts = ["", "s", "2027-users", "rule:beta", "\u00fc\U0001f600", "0123456789abcdef" * 3]
    rows = [
        {"key": key, "salt": salt, "bucket": bucket(key, salt)} for salt in salts for key in keys()
    ]
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    about = "xxh64/1: the bucket of each key, printed by buckets.py"
    return f'{{\n  "about": "{about}",\n  "buckets": [\n{lines}\n  ]\n}}\n'


def main(arguments):
    if arguments == ["--check"]:
        path = pathlib.Path(__file__).with_name("buckets.json")
        if path.read_text(encoding="utf-8") != document():
            sys.exit(f"{path.name} is not what buckets.py prints: python3 {__file__} > {path}")
        print(f"{path.name} is what buckets.py prints")
    elif arguments and not arguments[0].startswith("-") and len(arguments) <= 2:
        print(bucket(*arguments))
    elif not arguments:
        sys.stdout.write(document())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
