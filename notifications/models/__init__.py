"""The tables: content and inbox, the log, the processes."""

from .notification import Level, Notification, Reader, Receipt, described, ref, resolve
from .process import Connection, Process, Sample, Transport
from .stream import Entry, Op, Pending, Posting, Stream

__all__ = [
    "Connection",
    "Entry",
    "Level",
    "Notification",
    "Op",
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
