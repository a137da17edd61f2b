"""For those who come from django-notifications-hq: its `notify.send`, and its table.

    from notifications.hq import notify       # was: from notifications.signals import notify
    notify.send(bo, recipient=ana, verb="closed", action_object=issue, target=project)

`manage.py notifications_import_hq` takes over what that package has stored. Both packages are
called `notifications` and have a table of the same name, so the old one is renamed first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder

from . import notify as front_door
from .audiences import Group
from .errors import BadNotification
from .models import Level, Notification, Op, Receipt, ref
from .notices import checked_url
from .stream.number import number
from .stream.publish import News, publish

LEVELS = {"success", "info", "warning", "error"}


# --- notify.send -------------------------------------------------------------------------


class _Notify:
    """What was a signal there, as far as people use it: an object with `send`."""

    def send(
        self,
        sender: models.Model,
        *,
        recipient: Any,
        verb: str,
        action_object: models.Model | None = None,
        target: models.Model | None = None,
        level: str = "info",
        description: str | None = None,
        timestamp: Any = None,
        public: bool = True,
        actor_for_concrete_model: bool = True,
        url: str | None = None,
        **data: Any,
    ) -> list[tuple[Any, list[Notification]]]:
        """Tell `recipient` (a user, several, or a Django group) that `sender` did something.

        `url` defaults to the address of the action object, or else of the target. Whatever else
        is given becomes `data`. `public` has no meaning here.
        """
        to = Group(recipient) if isinstance(recipient, DjangoGroup) else recipient
        if action_object is not None:
            data["action_object"] = {"name": str(action_object), "ref": ref(action_object)}
        notification = front_door(
            to,
            sentence(sender, verb, action_object, target),
            body=description or "",
            url=_address(action_object, target) if url is None else url,
            level=level,
            actor=sender,
            target=target,
            data=data,
            at=timestamp,
        )
        return [(self.send, [notification])]


notify = _Notify()


def sentence(actor: Any, verb: str, action_object: Any, target: Any) -> str:
    """The title, in the words of that package: actor, verb, action object, "on" target."""
    words = [str(actor), verb]
    if action_object is not None:
        words.append(str(action_object))
    if target is not None:
        words += ["on", str(target)] if action_object is not None else [str(target)]
    return " ".join(words)[: Notification.TITLE_LENGTH]


def _address(*instances: models.Model | None) -> str:
    for instance in instances:
        if instance is not None and hasattr(instance, "get_absolute_url"):
            return str(instance.get_absolute_url())
    return ""


# --- The table ---------------------------------------------------------------------------

TABLE = Notification._meta.db_table
KEPT = "notifications_hq"
"""What their table is called once it is out of our way."""
CHUNK = 1_000
MIGRATIONS = {
    "0001_initial",
    "0002_auto_20150224_1134",
    "0003_notification_data",
    "0004_auto_20150826_1508",
    "0005_auto_20160504_1520",
    "0006_indexes",
    "0007_add_timestamp_index",
    "0008_index_together_recipient_unread",
    "0009_alter_notification_options_and_more",
}


class Old(models.Model):
    """A row of theirs, in a registry of its own: it is not a model of the project."""

    recipient = models.CharField(max_length=255, db_column="recipient_id")
    level = models.CharField(max_length=20)
    unread = models.BooleanField()
    deleted = models.BooleanField()
    actor_content_type_id = models.IntegerField()
    actor_object_id = models.CharField(max_length=255)
    verb = models.CharField(max_length=255)
    description = models.TextField(null=True)
    target_content_type_id = models.IntegerField(null=True)
    target_object_id = models.CharField(max_length=255, null=True)
    action_object_content_type_id = models.IntegerField(null=True)
    action_object_object_id = models.CharField(max_length=255, null=True)
    timestamp = models.DateTimeField()
    data = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = KEPT
        apps = Apps()
        app_label = "notifications_hq"

    def __str__(self) -> str:
        return self.verb


def is_in_the_way(using: str) -> bool:
    """Whether the table that ours is to be called is theirs."""
    connection = connections[using]
    try:
        with connection.cursor() as cursor:
            if TABLE not in connection.introspection.table_names(cursor):
                return False
            columns = connection.introspection.get_table_description(cursor, TABLE)
    except DatabaseError:
        return False
    return any(column.name == "verb" for column in columns)


def is_kept(using: str) -> bool:
    """Whether their table is there under its new name."""
    connection = connections[using]
    with connection.cursor() as cursor:
        return KEPT in connection.introspection.table_names(cursor)


def put_aside(using: str) -> None:
    """Rename their table, and forget that their migrations were made: they have our label."""
    connection = connections[using]
    quote = connection.ops.quote_name
    with transaction.atomic(using=using):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {quote(TABLE)} RENAME TO {quote(KEPT)}")
        recorder = MigrationRecorder(connection)
        recorder.migration_qs.filter(app="notifications", name__in=MIGRATIONS).delete()


def drop(using: str) -> None:
    """Delete their table."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {connection.ops.quote_name(KEPT)}")


@dataclass
class Taken:
    """What one chunk came to."""

    imported: int = 0
    before: int = 0
    """Taken over by an earlier run."""
    refused: tuple[tuple[int, str], ...] = ()
    """Rows that cannot be stored here, and why."""


def take_over(using: str) -> Iterator[Taken]:
    """Import their rows, chunk by chunk. May be stopped anywhere and run again."""
    last = 0
    while True:
        rows = list(Old._default_manager.using(using).filter(pk__gt=last).order_by("pk")[:CHUNK])
        if not rows:
            return
        last = rows[-1].pk
        yield _take(rows, using)


def _take(rows: list[Old], using: str) -> Taken:
    notifications = Notification.objects.using(using)
    keys = {row.pk: f"hq:{row.pk}" for row in rows}
    there = set(notifications.filter(key__in=keys.values()).values_list("key", flat=True))
    new = [row for row in rows if keys[row.pk] not in there]
    things = _things(new, using)
    made, refused = [], []
    for row in new:
        try:
            made.append((row, _notification(row, keys[row.pk], things)))
        except (BadNotification, ValueError) as error:
            refused.append((row.pk, str(error)))
    to_python = get_user_model()._meta.pk.to_python
    with transaction.atomic(using=using):
        notifications.bulk_create(one for _row, one in made)
        receipts = [_receipt(row, one, to_python(row.recipient)) for row, one in made]
        Receipt.objects.using(using).bulk_create(receipts)
        publish(
            (
                News.for_person(Op.CREATED, one.person_id, notification_id=one.notification_id)
                for one in receipts
            ),
            using,
        )
    number({News.for_person(Op.CREATED, one.person_id).stream for one in receipts})
    return Taken(len(made), len(rows) - len(new), tuple(refused))


def _notification(row: Old, key: str, things: dict[tuple[int, str], tuple[str, str]]) -> Any:
    def thing(name: str) -> tuple[str, str]:
        place = getattr(row, f"{name}_content_type_id"), getattr(row, f"{name}_object_id")
        return things.get(place, ("", ""))

    (actor, actor_ref), (target, target_ref) = thing("actor"), thing("target")
    action, action_ref = thing("action_object")
    data = json.loads(row.data) if row.data else {}
    data = data if isinstance(data, dict) else {"data": data}
    if action_ref:
        data["action_object"] = {"name": action, "ref": action_ref}
    try:
        url = checked_url(data.get("url") or "")
    except BadNotification:
        url = ""  # it stays in the data
    return Notification(
        key=key,
        level=Level[row.level.upper() if row.level in LEVELS else "INFO"],
        title=sentence(actor, row.verb, action or None, target or None),
        body=(row.description or "")[: Notification.BODY_LENGTH],
        url=url,
        actor_ref=actor_ref,
        actor_name=actor[: Notification.NAME_LENGTH],
        target_ref=target_ref,
        target_name=target[: Notification.NAME_LENGTH],
        data=data,
        created=row.timestamp,
    )


def _receipt(row: Old, notification: Notification, person_id: Any) -> Receipt:
    read = not row.unread
    return Receipt(
        person_id=person_id,
        notification=notification,
        created=row.timestamp,
        seen=read,
        read=True if read else None,
        read_at=row.timestamp if read else None,
        archived_at=row.timestamp if row.deleted else None,
    )


def _things(rows: list[Old], using: str) -> dict[tuple[int, str], tuple[str, str]]:
    """Name and reference of whatever the rows speak of. One query for each model."""
    wanted: dict[int, set[str]] = {}
    for row in rows:
        for name in ("actor", "target", "action_object"):
            type_id = getattr(row, f"{name}_content_type_id")
            if type_id is not None:
                wanted.setdefault(type_id, set()).add(getattr(row, f"{name}_object_id"))
    found = {}
    for content_type in ContentType.objects.using(using).filter(pk__in=wanted):
        ids = wanted[content_type.pk]
        model = content_type.model_class()
        label = f"{content_type.app_label}.{content_type.model}"
        there: dict[str, str] = {}
        if model is not None:
            try:
                rows_of_it = model._base_manager.filter(pk__in=ids)
                there = {str(one.pk): str(one) for one in rows_of_it}
            except (ValueError, ValidationError):
                pass  # keys that are none of this model
        for id in ids:  # what is gone keeps a name that says what it was
            found[content_type.pk, id] = (
                there.get(id, f"{content_type.model} {id}"),
                f"{label}:{id}",
            )
    return found
