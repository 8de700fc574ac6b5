"""Dates of commits in git's formats.

In: seconds and an offset as commits have them. Out: text. Git's document: git-log(1), ``--date``.
"""

from __future__ import annotations

import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

LATEST = 2**40
"""Seconds; what is later is no date."""


def formatted(stamp: bytes, zone: bytes, form: str) -> bytes | None:
    """``form``: the letter of a placeholder: d, D, r, t, i, I, s or h.

    None for what is no date.
    """
    if not stamp.isdigit() or len(stamp) > 12 or int(stamp) > LATEST:
        return None
    seconds = int(stamp)
    if form == "t":
        return stamp
    if form == "r":
        return relative(int(time.time()) - seconds).encode()
    offset = _minutes(zone)
    at = time.gmtime(seconds + offset * 60)
    shown = b"%c%02d%02d" % (b"-" if offset < 0 else b"+", *divmod(abs(offset), 60))
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    date = f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02}"
    if form == "d":
        return f"{day} {month} {at.tm_mday} {clock} {at.tm_year} {shown.decode()}".encode()
    if form == "D":
        return f"{day}, {at.tm_mday} {month} {at.tm_year} {clock} {shown.decode()}".encode()
    if form == "i":
        return f"{date} {clock} {shown.decode()}".encode()
    if form == "I":
        strict = shown[:3] + b":" + shown[3:] if offset else b"Z"
        return f"{date}T{clock}".encode() + strict
    if form == "s":
        return date.encode()
    return _human(at, seconds, offset)


def _minutes(zone: bytes) -> int:
    sign, digits = zone[:1], zone[1:]
    if sign not in (b"+", b"-") or not digits.isdigit() or len(digits) > 5:
        return 0
    minutes = int(digits) // 100 * 60 + int(digits) % 100
    return -minutes if sign == b"-" else minutes


def relative(seconds: int) -> str:
    """How long ago."""
    if seconds < 0:
        return "in the future"
    if seconds < 90:
        return _ago(seconds, "second")
    minutes = (seconds + 30) // 60
    if minutes < 90:
        return _ago(minutes, "minute")
    hours = (minutes + 30) // 60
    if hours < 36:
        return _ago(hours, "hour")
    days = (hours + 12) // 24
    if days < 14:
        return _ago(days, "day")
    if days < 70:
        return _ago((days + 3) // 7, "week")
    if days < 365:
        return _ago((days + 15) // 30, "month")
    if days < 1825:
        years, months = divmod((days * 24 + 365) // 730, 12)
        if months:
            return f"{years} {_plural(years, 'year')}, {_ago(months, 'month')}"
        return _ago(years, "year")
    return _ago((days + 183) // 365, "year")


def _plural(count: int, unit: str) -> str:
    return unit if count == 1 else f"{unit}s"


def _ago(count: int, unit: str) -> str:
    return f"{count} {_plural(count, unit)} ago"


def _human(at: time.struct_time, seconds: int, offset: int) -> bytes:
    now = int(time.time())
    here = time.localtime(now)
    local_offset = (here.tm_gmtoff or 0) // 60
    zone = ""
    if local_offset != offset:
        sign = "-" if offset < 0 else "+"
        zone = " {}{:02}{:02}".format(sign, *divmod(abs(offset), 60))
    clock = f"{at.tm_hour:02}:{at.tm_min:02}"
    if at.tm_year != here.tm_year:
        return f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday} {at.tm_year}".encode()
    if at.tm_mon == here.tm_mon:
        if at.tm_mday == here.tm_mday:
            return relative(now - seconds).encode()
        if at.tm_mday < here.tm_mday < at.tm_mday + 5:
            return f"{_DAYS[at.tm_wday]} {clock}{zone}".encode()
    return f"{_DAYS[at.tm_wday]} {_MONTHS[at.tm_mon - 1]} {at.tm_mday} {clock}".encode()
