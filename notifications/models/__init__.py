"""The tables: content and inbox, the log, the lists, the processes, the operators' queue."""

from .alert import Alert, AlertEvent, AlertHour, Mute, State
from .fan_out import FanOut, Part
from .notification import Broadcast, Level, Notification, Reader, Receipt, described, ref, resolve
from .process import Connection, Health, Process, Sample, Transport
from .stream import Entry, Op, Pending, Posting, Stream

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertHour",
    "Broadcast",
    "Connection",
    "Entry",
    "FanOut",
    "Health",
    "Level",
    "Mute",
    "Notification",
    "Op",
    "Part",
    "Pending",
    "Posting",
    "Process",
    "Reader",
    "Receipt",
    "Sample",
    "State",
    "Stream",
    "Transport",
    "described",
    "ref",
    "resolve",
]
