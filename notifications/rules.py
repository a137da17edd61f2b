"""Rules: `@notify_on(Model)` turns saves into notices, inside the transaction of the save.

    @notify_on(Order, created=False, fields=["status"])
    def order_changed(order, changed):
        return OrderShipped(order=order) if order.status == "shipped" else None

A rule may also return an `Alarm` or an `AllClear`, for the operators:

    @notify_on(Order, fields=["status"])
    def order_stuck(order, changed):
        if order.status == "stuck":
            return Alarm(f"order-{order.pk}-stuck", "An order is stuck", target=order)
        return AllClear(f"order-{order.pk}-stuck")

The rows are written with the save itself, so a rollback leaves nothing and a crash after the
commit loses nothing. A second save of the same instance in one transaction replaces what the
first one said; back to where it was, and nothing is said.

Model signals have blind spots: `bulk_create()`, `QuerySet.update()` and raw SQL send none.
Call `notify` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any
from weakref import WeakValueDictionary

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router, transaction
from django.db.models.signals import post_save, pre_save

from .alerts import Alarm, AllClear, tell
from .audiences import resolve
from .errors import ConfigurationError, did_you_mean
from .models import Notification, Pending
from .notices import Notice
from .notify import send
from .stream.names import user_stream

Changed = Mapping[str, tuple[Any, Any]]
"""The fields that changed, with the value before and after. Empty for a new instance."""

Said = Notice | Alarm | AllClear

Rule = Callable[[Any, Changed], "Said | Iterable[Said] | None"]


def notify_on(
    model: type[models.Model],
    *,
    created: bool | None = None,
    fields: Iterable[str] = (),
) -> Callable[[Rule], Rule]:
    """Run the decorated function when an instance of `model` is saved.

    `created`: True for new instances only, False for old ones only, None for both. `fields`:
    an old instance counts only when one of these changed; without them every save counts. The
    function gets the instance and what changed, and returns a `Notice` (or an `Alarm`, or an
    `AllClear`), several, or None.
    Fixtures (`raw=True`) are skipped.

    What changed is measured against the database, by one SELECT before the save. Raises
    `ConfigurationError` for a field that the model does not have.
    """
    names = list(fields)
    watched = [_field(model, name) for name in names] or [
        field for field in model._meta.concrete_fields if not field.primary_key
    ]

    def register(rule: Rule) -> Rule:
        _Watch(model, rule, created, watched, any_save=not names).connect()
        return rule

    return register


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    known = {field.name: field for field in model._meta.concrete_fields}
    try:
        return known[model._meta.get_field(name).name]
    except (FieldDoesNotExist, KeyError):
        raise ConfigurationError(
            f"{model.__name__} has no column {name!r}.{did_you_mean(name, known)}"
        ) from None


class _Told:
    """What one rule said about one instance in the transaction that is open.

    `run_on_commit` holds the only strong reference, so that it is gone when the transaction,
    or the savepoint that it belongs to, is over.
    """

    def __init__(self, before: dict[str, Any], created: bool) -> None:
        self.before = before
        self.created = created
        self.notifications: list[Notification] = []
        self.alerts: list[Pending] = []

    def __call__(self) -> None:
        pass


class _Watch:
    """One rule on one model."""

    def __init__(
        self,
        model: type[models.Model],
        rule: Rule,
        created: bool | None,
        watched: list[models.Field[Any, Any]],
        any_save: bool,
    ) -> None:
        self.model, self.rule, self.created = model, rule, created
        self.watched, self.any_save = watched, any_save
        self.before_save = f"_notifications_before_{id(self)}"

    def connect(self) -> None:
        _save_in_transaction(self.model)
        pre_save.connect(self.remember, sender=self.model, weak=False)
        post_save.connect(self.tell, sender=self.model, weak=False)

    def remember(
        self, instance: models.Model, raw: bool, using: str, update_fields: Any, **_: Any
    ) -> None:
        """Before the save: what the database holds."""
        if raw or instance.pk is None or (instance._state.adding and _makes_keys(self.model)):
            return
        if self.created is True:
            return
        watched = [
            field
            for field in self.watched
            if update_fields is None
            or field.name in update_fields
            or field.attname in update_fields
        ]
        row = (
            self.model._base_manager.using(using)
            .filter(pk=instance.pk)
            .values(*(field.attname for field in watched))
            .first()
        )
        setattr(instance, self.before_save, row)

    def tell(self, instance: models.Model, created: bool, raw: bool, using: str, **_: Any) -> None:
        """After the save, in its transaction: say what the rule makes of it."""
        before = instance.__dict__.pop(self.before_save, None) or {}
        if raw:
            return
        told = self._told(instance, using)
        if told is not None:
            _unsay(told)
            told.before = before | told.before  # what it was before the transaction
        else:
            told = _Told(before, created)
            self._store(told, instance, using)
        said: list[Said] = []
        changed = {} if told.created else self._changed(instance, told.before)
        if self._concerns(told.created, changed):
            answer = self.rule(instance, changed)
            said = [answer] if isinstance(answer, Said) else list(answer or ())
        told.alerts = tell([one for one in said if not isinstance(one, Notice)])
        told.notifications = []
        for notice in said:
            if not isinstance(notice, Notice):
                continue
            recipients = resolve(notice.recipients())
            if recipients.stream is None and not recipients.person_ids:
                continue
            notification, new = send(notice, recipients)
            if new:
                told.notifications.append(notification)

    def _concerns(self, created: bool, changed: Changed) -> bool:
        if created:
            return self.created is not False
        return self.created is not True and (self.any_save or bool(changed))

    def _changed(self, instance: models.Model, before: Mapping[str, Any]) -> Changed:
        changed = {}
        for field in self.watched:
            if field.attname not in before:
                continue
            now = getattr(instance, field.attname)
            if not hasattr(now, "resolve_expression"):
                now = field.to_python(now)
            if now != before[field.attname]:
                changed[field.name] = (before[field.attname], now)
        return changed

    def _told(self, instance: models.Model, using: str) -> _Told | None:
        told = _said(using).get((self, instance.pk))
        if told is None:
            return None
        alive = any(callback is told for _, callback, *_ in connections[using].run_on_commit)
        return told if alive else None

    def _store(self, told: _Told, instance: models.Model, using: str) -> None:
        if _is_all(using):
            return
        _said(using)[self, instance.pk] = told
        transaction.on_commit(told, using=using)


def _makes_keys(model: type[models.Model]) -> bool:
    """Whether a new instance has a key before it is saved (UUIDs), so that it tells nothing."""
    pk = model._meta.pk
    return pk.has_default() or pk.has_db_default()


def _said(using: str) -> WeakValueDictionary[tuple[_Watch, Any], _Told]:
    """What was said in the transaction that is open on this thread's connection."""
    found: WeakValueDictionary[tuple[_Watch, Any], _Told] = connections[using].__dict__.setdefault(
        "_notifications_said", WeakValueDictionary()
    )
    return found


def _is_all(using: str) -> bool:
    """Whether the save is its whole transaction: so the next one is another one.

    In a TestCase too, whose own transaction stands for a database that is thrown away. Else
    whatever a test creates and changes would be new, and no rule about changes would speak.
    """
    around = connections[using].atomic_blocks[:-1]  # the last is that of save_in_transaction
    return not around or getattr(around[-1], "_from_testcase", False)


def _unsay(told: _Told) -> None:
    """Delete what was sent earlier in this transaction. Nobody has seen it."""
    if told.alerts:
        Pending.objects.filter(pk__in=[row.pk for row in told.alerts]).delete()
    for notification in told.notifications:
        people = notification.receipts.values_list("person_id", flat=True)
        streams = [notification.audience, *map(user_stream, people)]
        Pending.objects.filter(stream__in=streams, notification=notification).delete()
        notification.delete()


def _save_in_transaction(model: type[models.Model]) -> None:
    """Make the save of `model` and its signals one transaction.

    Django commits the row before `post_save` when no transaction is open; a process that dies
    in between would have saved and said nothing.
    """
    if getattr(model.save_base, "_notifications", False):
        return
    save_base = model.save_base

    @wraps(save_base)
    def save_in_transaction(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            save_base(self, *args, **kwargs)

    save_in_transaction._notifications = True  # type: ignore[attr-defined]
    model.save_base = save_in_transaction  # type: ignore[method-assign]
