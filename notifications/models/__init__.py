"""The tables: content and inbox, the log, the processes."""

from .notification import Level, Notification, Reader, Receipt, described, ref, resolve
from .process import Process
from .stream import Entry, Op, Pending, Posting, Stream

__all__ = [
    "Entry",
    "Level",
    "Notification",
    "Op",
    "Pending",
    "Posting",
    "Process",
    "Reader",
    "Receipt",
    "Stream",
    "described",
    "ref",
    "resolve",
]
