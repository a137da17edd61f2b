"""The tables: content and inbox, the log, the lists, the processes."""

from .fan_out import FanOut, Part
from .notification import Level, Notification, Reader, Receipt, described, ref, resolve
from .process import Connection, Process, Sample, Transport
from .stream import Entry, Op, Pending, Posting, Stream

__all__ = [
    "Connection",
    "Entry",
    "FanOut",
    "Level",
    "Notification",
    "Op",
    "Part",
    "Pending",
    "Posting",
    "Process",
    "Reader",
    "Receipt",
    "Sample",
    "Stream",
    "Transport",
    "described",
    "ref",
    "resolve",
]
