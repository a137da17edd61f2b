"""Whether anything has come due: asked by every process every second, so all in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connections
from django.utils import timezone

from ..models import Alert, FanOut, Notification, Pending
from .number import database_now, log_database


@dataclass(frozen=True)
class Due:
    """What there is to do. Each may say yes in vain, and never no."""

    scheduled: bool
    """Something whose time has come waits for a number."""
    shared: bool
    """Something that was told to many waits for a number."""
    alerts: bool
    """An alert is to be looked at again."""
    expired: bool
    """Something has expired, between the last look and `until`."""
    lists: bool
    """There are people of a list who are still to be told."""
    until: datetime


_LOOK = """
SELECT
    EXISTS (SELECT 1 FROM {pending} WHERE due <= {now}),
    EXISTS (SELECT 1 FROM {pending} WHERE person_id IS NULL AND (due IS NULL OR due <= {now})),
    EXISTS (SELECT 1 FROM {alert} WHERE due <= {now}),
    EXISTS (SELECT 1 FROM {notification} WHERE expires > %s AND expires <= %s),
    EXISTS (SELECT 1 FROM {fanout} WHERE notification_id IS NOT NULL)
"""


def what_is_due(since: datetime) -> Due:
    """In a thread. `since`: up to when it is known what has expired."""
    using = log_database()
    connection = connections[using]
    quote, adapt = connection.ops.quote_name, connection.ops.adapt_datetimefield_value
    compiler = Pending.objects.using(using).query.get_compiler(using)
    now, parameters = compiler.compile(database_now().resolve_expression(compiler.query))
    models = (Alert, FanOut, Notification, Pending)
    sql = _LOOK.format(now=now, **{m.__name__.lower(): quote(m._meta.db_table) for m in models})
    until = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(sql, [*[*parameters] * _LOOK.count("{now}"), adapt(since), adapt(until)])
        scheduled, shared, alerts, expired, lists = map(bool, cursor.fetchone())
    return Due(scheduled, shared, alerts, expired, lists, until)
