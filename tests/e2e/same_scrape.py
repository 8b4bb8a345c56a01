#!/usr/bin/env python3
"""Whether three scrapes say the same: same_scrape.py TEXT OPENMETRICS PROTOBUF

Exits 1 where they are not of one sample (another tick in between) or differ. Names, labels and values are compared;
figures of the scrape itself (age of the sample, descriptors) are not.
"""
import re
import struct
import sys

ITSELF = {"waveos_sample_age_seconds", "process_open_fds"}


def text_series(path):
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in open(path, encoding="utf-8") if not line.startswith("#")}


def fields(data):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 1:
            yield key >> 3, struct.unpack("<d", data[at:at + 8])[0]
            at += 8
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, data[at:at + length]
            at += length
        else:
            sys.exit(f"wire type {key & 7}")


def families(data):
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield data[at:at + length]
        at += length


def escaped(value):
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def bound(value):
    return re.sub(r"\.?0+$", "", f"{value:.9f}") if value else "0"


def proto_series(path):
    result = {}
    for family in families(open(path, "rb").read()):
        name = ""
        for number, value in fields(family):
            if number == 1:
                name = value.decode()
            elif number == 4:
                labels, figures = [], []
                for n, part in fields(value):
                    if n == 1:
                        label = dict(fields(part))
                        labels.append(f'{label[1].decode()}="{escaped(label[2].decode())}"')
                    else:
                        figures.append((n, part))
                put(result, name, labels, figures)
    return result


def put(result, name, labels, figures):
    def series(suffix, *more):
        inner = ",".join([*labels, *more])
        return f"{name}{suffix}{{{inner}}}" if inner else name + suffix

    for number, part in figures:
        if number != 7:
            result[series("")] = dict(fields(part))[1]
            continue
        for n, value in fields(part):
            if n == 1:
                result[series("_count")] = value
                result[series("_bucket", 'le="+Inf"')] = value
            elif n == 2:
                result[series("_sum")] = value
            elif n == 3:
                bucket = dict(fields(value))
                result[series("_bucket", f'le="{bound(bucket[2])}"')] = bucket[1]


def main():
    text, other, proto = text_series(sys.argv[1]), text_series(sys.argv[2]), proto_series(sys.argv[3])
    if not text["waveos_ticks_total"] == other["waveos_ticks_total"] == proto["waveos_ticks_total"]:
        sys.exit("not of one tick")
    for name, scrape in (("OpenMetrics", other), ("protobuf", proto)):
        if text.keys() != scrape.keys():
            sys.exit(f"{name}: series differ: {sorted(text.keys() ^ scrape.keys())[:5]}")
        for series, value in text.items():
            if series not in ITSELF and abs(scrape[series] - value) > 1e-12 * abs(value):
                sys.exit(f"{name}: {series}: {scrape[series]} and not {value}")
    print(f"{len(text)} series are the same in three formats")


main()
