"""The operators' queue: what is wrong, who is on it, and what asks for nobody for a while.

    alert("payments-down", "Gateway timeouts", level="critical", source="payments")
    resolve("payments-down")

Both only insert one pending row, in the caller's transaction. Whoever numbers the stream
`alerts` folds the rows, under the stream's lock, into the `Alert` with that key, and writes one
entry with its whole state. So a storm costs one row and few entries, and no caller waits for
another. What happens by itself (a mute ends, a reminder, silence) happens there too: once.

What operators do is decided at once, by the lock on the alert's row: of two who click at the
same time one wins, and the other is told who.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, models, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from .conf import conf
from .errors import (
    AlreadyDone,
    BadField,
    BadFrame,
    BadNotification,
    Forbidden,
    UnknownAction,
    UnknownAlert,
)
from .inbox import ACTIONS as inbox_actions
from .inbox import Inbox
from .models import Alert, AlertEvent, AlertHour, Level, Mute, Op, Pending, State, Stream
from .notices import checked_text, checked_title, checked_url
from .notify import checked_level, named
from .stream import number as numbering
from .stream.names import ALERTS
from .stream.number import log_database, number
from .stream.publish import News, publish
from .stream.read import read_heads
from .stream.sql import execute_many
from .wire import Do

CHANGE = "notifications.change_alert"
"""The permission with which one acts on alerts."""

LABELS = 50
LABEL_LENGTH = 500
TOLD_EVERY = timedelta(seconds=1)
"""Between two entries that say nothing but that an alert was told again."""
DUE = 500
"""Alerts about which something is done by itself in one folding."""
MUTED_AT_MOST = timedelta(days=366)
PATIENCE = 1.0
"""Seconds that a page or an action waits to number what is pending."""

Kind = AlertEvent.Kind


# --- What is wrong, from anywhere --------------------------------------------------------


@dataclass(frozen=True)
class Alarm:
    """What `alert()` says, as a value that a model rule can return."""

    key: str
    title: Any
    body: Any = ""
    level: str = "error"
    source: str = ""
    url: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    target: models.Model | None = None
    ttl: timedelta | float | None = None
    count: int = 1

    def as_arg(self) -> dict[str, Any]:
        """Checked, as the pending row holds it; raises `BadNotification`."""
        level = checked_level(self.level)
        with translation.override(conf.language):
            return {
                "fire": {
                    "key": checked_key(self.key),
                    "title": checked_title(self.title),
                    "body": checked_text("body", self.body, Alert.BODY_LENGTH),
                    "level": level.value,
                    "source": checked_text("source", self.source, Alert.SOURCE_LENGTH),
                    "url": checked_url(self.url),
                    "labels": checked_labels(self.labels),
                    **named("target", self.target),
                    "ttl": _seconds(self.ttl),
                    "count": self.count,
                }
            }


@dataclass(frozen=True)
class AllClear:
    """What `resolve()` says, as a value that a model rule can return."""

    key: str
    note: Any = ""

    def as_arg(self) -> dict[str, Any]:
        note = checked_text("note", self.note, Alert.NOTE_LENGTH)
        return {"resolve": {"key": checked_key(self.key), "note": note}}


def alert(
    key: str,
    title: Any,
    *,
    body: Any = "",
    level: str = "error",
    source: str = "",
    url: str = "",
    labels: Mapping[str, Any] | None = None,
    target: models.Model | None = None,
    ttl: timedelta | float | None = None,
) -> None:
    """Tell the operators that something is wrong: `alert("payments-down", "Gateway timeouts")`.

    The same `key` is the same alert: it is counted, shows what was said last, and fires again
    when it was resolved. `labels`: words by which alerts are found and muted. `target`: the
    model instance that it is about. `ttl`: silence (seconds, or a timedelta) after which it is
    over by itself.

    Raises an error of `notifications.errors.BadNotification`; then nothing was stored.
    """
    tell(
        [
            Alarm(
                key,
                title,
                body=body,
                level=level,
                source=source,
                url=url,
                labels={} if labels is None else labels,
                target=target,
                ttl=ttl,
            )
        ]
    )


def resolve(key: str, note: Any = "") -> None:
    """Tell the operators that it is over. Where nothing fires under that key, nothing happens."""
    tell([AllClear(key, note)])


aalert = sync_to_async(alert)
aresolve = sync_to_async(resolve)


def tell(what: Iterable[Alarm | AllClear]) -> list[Pending]:
    """Store several at once: one INSERT. Raises `BadNotification`."""
    news = [News(Op.ALERT, ALERTS, arg=one.as_arg()) for one in what]
    return publish(news, log_database()) if news else []


def checked_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise BadField("key", "a string that is not empty", key)
    return checked_text("key", key, Alert.KEY_LENGTH)


def checked_labels(labels: object) -> dict[str, str]:
    """Labels as words; raises `BadField` or `FieldTooLong`."""
    if not isinstance(labels, Mapping) or len(labels) > LABELS:
        raise BadField("labels", f"a dict of at most {LABELS} words", labels)
    checked = {}
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float):
            raise BadField("labels", "a dict of words", labels)
        for word in (name, str(value)):
            checked_text("labels", word, LABEL_LENGTH)
        checked[name] = str(value)
    return checked


def _seconds(ttl: object) -> int | None:
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if not isinstance(seconds, int | float) or not 1 <= seconds <= 366 * 86_400:
        raise BadField("ttl", "seconds, or a timedelta, from 1 second to a year", ttl)
    return int(seconds)


# --- Folding, under the stream's lock ----------------------------------------------------


class _Folding:
    """The pending rows of one numbering, and the alerts that they speak of."""

    def __init__(self, rows: list[Pending], using: str) -> None:
        self.using = using
        stream = Stream.objects.using(using).filter(name=ALERTS)
        self.now: datetime = stream.values_list(numbering.database_now(), flat=True)[0]
        due = Alert.objects.using(using).filter(due__lte=self.now).order_by("due")
        ids = set(due.values_list("pk", flat=True)[:DUE])
        keys = set()
        for row in rows:
            match row.arg:
                case {"fire": said} | {"resolve": said}:
                    keys.add(said["key"])
                case {"touch": touched}:
                    ids.update(touched)
        found = _locked(models.Q(key__in=keys) | models.Q(pk__in=ids), using)
        self.alerts = {one.key: one for one in found}
        self.by_id = {one.pk: one for one in found}
        self.new: list[Alert] = []
        self.events: dict[str, list[AlertEvent]] = defaultdict(list)
        self.said: dict[str, dict[str, Any]] = {}
        """By key, the last event of each; operators have stored theirs already."""
        self.hours: Counter[tuple[str, datetime]] = Counter()
        self.loud: dict[str, datetime] = {}
        """The alerts whose news cannot wait, with when it came."""
        self._mutes: list[Mute] | None = None

    def take(self, row: Pending) -> None:
        match row.arg:
            case {"fire": said}:
                self.fire(said, row.created)
            case {"resolve": said}:
                self.resolve(said["key"], said["note"], row.created)
            case {"touch": ids, "event": event}:
                for id in ids:
                    if id in self.by_id:
                        key = self.by_id[id].key
                        self.loud[key] = row.created
                        self.said[key] = event

    def fire(self, said: dict[str, Any], at: datetime) -> None:
        key = said["key"]
        one = self.alerts.get(key)
        new = one is None
        if one is None:
            one = self.alerts[key] = Alert(key=key, state=State.RESOLVED, first_seen=at)
            self.new.append(one)
        worse = said["level"] > one.level
        for name, value in said.items():
            if name not in ("key", "count"):
                setattr(one, name, value)
        one.count += said["count"]
        one.first_seen = min(one.first_seen, at)
        one.last_seen = at if new else max(one.last_seen, at)
        self.hours[key, at.replace(minute=0, second=0, microsecond=0)] += said["count"]
        if one.state == State.RESOLVED:
            self.open(one, Kind.FIRED if new else Kind.REOPENED, at)
        elif one.state == State.ACKNOWLEDGED and worse:
            self.open(one, Kind.RAISED, at)
        elif one.state == State.FIRING and worse and one.level >= Level.CRITICAL:
            self.raise_to_critical(one, at)

    def open(self, one: Alert, kind: Kind, at: datetime) -> None:
        mute = self.mute_of(one)
        one.fired = at
        one.repeats, one.reminded = 0, None
        if mute is None:
            _put(one, State.FIRING, at)
        else:
            _put(one, State.MUTED, at, by=mute.by, note=mute.reason, until=mute.until)
        self.event(one, kind, at, detail={"level": one.level_word})

    def raise_to_critical(self, one: Alert, at: datetime) -> None:
        """Now it asks for people at once. Told once until it fires anew, however often its source
        changes its mind; then it is repeated as any other."""
        if one.reminded is None:
            one.reminded = at
            self.event(one, Kind.RAISED, at, detail={"level": one.level_word})

    def resolve(self, key: str, note: str, at: datetime) -> None:
        one = self.alerts.get(key)
        if one is not None and one.state != State.RESOLVED:
            _put(one, State.RESOLVED, at, note=note)
            self.event(one, Kind.RESOLVED, at, note=note)

    def look_at_the_clock(self, one: Alert) -> None:
        """Do what is due about it by itself."""
        if one.state == State.MUTED and one.muted_until and one.muted_until <= self.now:
            mute = self.mute_of(one)
            if mute is not None:
                one.muted_until = mute.until
                self.loud[one.key] = self.now
            else:
                _put(one, State.FIRING, self.now)
                self.event(one, Kind.UNMUTED, self.now)
        silence = _silence_ends(one)
        if silence and silence <= self.now:
            with translation.override(conf.language):
                note = _("Its source has been silent for %(seconds)s s") % {
                    "seconds": one.ttl or int(conf.alert_silence)
                }
            self.resolve(one.key, note, self.now)
        reminder = _reminder(one)
        if reminder and reminder <= self.now:
            one.repeats += 1
            one.reminded = self.now
            self.event(one, Kind.REPEATED, self.now)

    def mute_of(self, one: Alert) -> Mute | None:
        """The mute that covers it for longest."""
        if self._mutes is None:
            active = Mute.objects.using(self.using).filter(ended=None, until__gt=self.now)
            self._mutes = list(active.order_by("-until"))
        return next((mute for mute in self._mutes if mute.covers(one)), None)

    def event(self, one: Alert, kind: Kind, at: datetime, **rest: Any) -> None:
        event = AlertEvent(kind=kind, at=at, **rest)
        self.events[one.key].append(event)
        self.said[one.key] = event.as_json()
        self.loud[one.key] = at

    def finish(self) -> list[Pending]:
        """Store it; one row to be numbered for each alert of which there is news."""
        telling = []
        for one in self.alerts.values():
            self.look_at_the_clock(one)
            quiet = one.told is not None and one.told + TOLD_EVERY > self.now
            if one.key in self.loud or (one.count != one.told_count and not quiet):
                telling.append(one)
                one.told, one.told_count = self.now, one.count
            one.due = _due(one)
        _update([one for one in self.alerts.values() if one.pk is not None], self.using)
        Alert.objects.using(self.using).bulk_create(self.new, batch_size=100)
        events = [
            _of(event, self.alerts[key]) for key, found in self.events.items() for event in found
        ]
        AlertEvent.objects.using(self.using).bulk_create(events)
        self._count_hours()
        return [
            Pending(
                stream=ALERTS,
                op=Op.ALERT,
                arg={"alert": one.as_json(), "event": self.said.get(one.key)},
                created=self.loud.get(one.key, one.last_seen),
            )
            for one in telling
        ]

    def _count_hours(self) -> None:
        if not self.hours:
            return
        rows = AlertHour.objects.using(self.using)
        ids = {self.alerts[key].pk for key, _hour in self.hours}
        hours = {hour for _key, hour in self.hours}
        held = {
            (alert, hour): count
            for alert, hour, count in rows.filter(alert__in=ids, hour__in=hours).values_list(
                "alert", "hour", "count"
            )
        }
        rows.bulk_create(
            (
                AlertHour(
                    alert=self.alerts[key],
                    hour=hour,
                    count=count + held.get((self.alerts[key].pk, hour), 0),
                )
                for (key, hour), count in self.hours.items()
            ),
            update_conflicts=True,
            unique_fields=["alert", "hour"],
            update_fields=["count"],
        )


def _update(old: list[Alert], using: str) -> None:
    """Store alerts that have changed. `bulk_update` takes ten times as long for a hundred."""
    connection = connections[using]
    fields = [one for one in Alert._meta.concrete_fields if one.name not in ("id", "key")]
    columns = ", ".join(f"{connection.ops.quote_name(str(one.column))} = %s" for one in fields)
    rows = [
        (*(one.get_db_prep_save(getattr(row, one.attname), connection) for one in fields), row.pk)
        for row in old
    ]
    if rows:
        execute_many(using, Alert, f"SET {columns} WHERE id = %s", rows)


def fold(rows: list[Pending], using: str) -> list[Pending]:
    """Fold what was told about alerts into them; what is to be numbered instead."""
    folding = _Folding(rows, using)
    for row in rows:
        folding.take(row)
    return folding.finish()


numbering.FOLDS[Op.ALERT] = fold


def fold_what_waits() -> set[str]:
    """Fold it now, if no transaction is open and nobody is in the way; the streams that grew."""
    return number([ALERTS], PATIENCE)


def look_at_the_clock() -> set[str]:
    """Fold what waits, and do what is due by itself; the streams that grew. For every process,
    every second: under the stream's lock it is done once."""
    using = log_database()
    if Alert.objects.using(using).filter(due__lte=numbering.database_now()).exists():
        publish([News(Op.ALERT, ALERTS, arg={})], using)
    return number([ALERTS])


FORGOTTEN = 200
"""Alerts, or thousands of hours, deleted in one transaction."""


def forget_hours(before: datetime) -> Iterator[int]:
    """Delete how often alerts were told in hours before this time; how many, for each chunk."""
    hours = AlertHour.objects.using(log_database()).filter(hour__lt=before)
    while ids := list(hours.values_list("pk", flat=True)[: FORGOTTEN * 10]):
        yield hours.filter(pk__in=ids).delete()[0]


def resolved(before: datetime) -> models.QuerySet[Alert]:
    """Alerts that were over before this time."""
    alerts = Alert.objects.using(log_database())
    return alerts.filter(state=State.RESOLVED, changed__lt=before)


def forget(before: datetime) -> Iterator[int]:
    """Delete these with their trail; how many, for each chunk."""
    while ids := list(resolved(before).order_by("pk").values_list("pk", flat=True)[:FORGOTTEN]):
        with transaction.atomic(using=log_database()):
            # Locked, so that none fires again meanwhile.
            gone = [one.pk for one in _locked(models.Q(pk__in=ids), log_database())]
            resolved(before).filter(pk__in=gone).delete()
        yield len(ids)


def _locked(which: models.Q, using: str) -> list[Alert]:
    """Locked in order, as everybody does who locks several."""
    rows = Alert.objects.using(using).filter(which).order_by("pk")
    return list(rows.select_for_update(no_key=connections[using].vendor == "postgresql"))


def _put(
    one: Alert,
    state: State,
    at: datetime,
    by: str = "",
    note: str = "",
    until: datetime | None = None,
) -> None:
    one.state, one.changed, one.by, one.note, one.muted_until = state, at, by, note, until


def _of(event: AlertEvent, alert: Alert) -> AlertEvent:
    event.alert = alert
    return event


def _due(one: Alert) -> datetime | None:
    """When to look at it again."""
    untold = one.told and one.count != one.told_count
    moments = [
        one.muted_until if one.state == State.MUTED else None,
        _silence_ends(one),
        _reminder(one),
        one.told + TOLD_EVERY if one.told and untold else None,
    ]
    return min((moment for moment in moments if moment), default=None)


def _silence_ends(one: Alert) -> datetime | None:
    seconds = one.ttl or conf.alert_silence
    if one.state == State.RESOLVED or not seconds:
        return None
    return one.last_seen + timedelta(seconds=seconds)


def _reminder(one: Alert) -> datetime | None:
    if one.state != State.FIRING or one.level < Level.CRITICAL or not conf.alert_repeat:
        return None
    return (one.reminded or one.changed) + timedelta(seconds=conf.alert_repeat)


# --- What operators do -------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What an act of an operator changed, and why it did not change the others."""

    changed: list[Alert]
    refused: list[AlreadyDone]


def acknowledge(ids: Iterable[int], by: Any, note: str = "") -> Outcome:
    """Somebody takes care of these. Of two who say so at once, one does.

    Like all verbs here: raises `UnknownAlert`, and `BadNotification` for a bad note; the caller
    has checked that `by` may do this.
    """

    def change(one: Alert, now: datetime) -> None:
        if one.state != State.FIRING:
            raise AlreadyDone(one.state, one.by)
        _put(one, State.ACKNOWLEDGED, now, by.get_username(), note)

    return _act(Kind.ACKNOWLEDGED, ids, by, note, change)


def close(ids: Iterable[int], by: Any, note: str = "") -> Outcome:
    """They are over, somebody says."""

    def change(one: Alert, now: datetime) -> None:
        if one.state == State.RESOLVED:
            raise AlreadyDone(one.state, one.by)
        _put(one, State.RESOLVED, now, by.get_username(), note)

    return _act(Kind.RESOLVED, ids, by, note, change)


def mute(ids: Iterable[int], by: Any, until: datetime, reason: str = "") -> Outcome:
    """These ask for nobody until a time, also when they fire again."""
    _checked_until(until)
    change = _muting(by, until, reason)

    def also(changed: list[Alert], using: str) -> None:
        Mute.objects.using(using).bulk_create(
            Mute(key=one.key, until=until, reason=reason, person=by, by=by.get_username())
            for one in changed
        )

    return _act(Kind.MUTED, ids, by, reason, change, also, {"until": until.isoformat()})


def mute_labels(labels: Mapping[str, Any], by: Any, until: datetime, reason: str = "") -> Mute:
    """Every alert that has all of these labels asks for nobody until a time."""
    _checked_until(until)
    labels = checked_labels(labels)
    if not labels:
        raise BadField("labels", "at least one label", labels)
    checked_text("note", reason, Alert.NOTE_LENGTH)
    using = log_database()
    mute = Mute(labels=labels, until=until, reason=reason, person=by, by=by.get_username())
    fold_what_waits()
    with transaction.atomic(using=using):
        mute.save(using=using)
        firing = Alert.objects.using(using).exclude(state=State.RESOLVED)
        ids = [one.pk for one in firing.only("labels", "key") if mute.covers(one)]
        if ids:
            detail = {"until": until.isoformat(), "labels": labels}
            _act(Kind.MUTED, ids, by, reason, _muting(by, until, reason), None, detail)
    fold_what_waits()
    return mute


def _muting(by: Any, until: datetime, reason: str) -> Callable[[Alert, datetime], None]:
    def change(one: Alert, now: datetime) -> None:
        if one.state != State.RESOLVED:  # else it is muted when it fires again
            longest = max(until, one.muted_until or until)  # another mute may last longer
            _put(one, State.MUTED, now, by.get_username(), reason, longest)

    return change


def unmute(ids: Iterable[int], by: Any, note: str = "") -> Outcome:
    """End every mute that covers one of these, and so for all other alerts that it covers."""
    ids = list(ids)
    using = log_database()
    covered = Alert.objects.using(using).filter(pk__in=ids)
    mutes = Mute.objects.using(using).active()
    chosen = [mute.pk for mute in mutes if any(mute.covers(one) for one in covered)]
    return end_mutes(chosen, by, note, ids)


def end_mutes(mutes: Iterable[int], by: Any, note: str = "", alerts: Iterable[int] = ()) -> Outcome:
    """End these mutes. What no other mute covers fires again."""
    using = log_database()
    ended = list(Mute.objects.using(using).active().filter(pk__in=list(mutes)))
    others = list(Mute.objects.using(using).active().exclude(pk__in=[one.pk for one in ended]))
    muted = Alert.objects.using(using).filter(state=State.MUTED)
    ids = {one.pk for one in muted if any(mute.covers(one) for mute in ended)}

    def change(one: Alert, now: datetime) -> None:
        if one.pk not in ids and not any(mute.covers(one) for mute in ended):
            raise AlreadyDone(one.state, one.by)
        if one.state != State.MUTED:
            return  # it is over; when it fires again, it is heard again
        left = max((mute.until for mute in others if mute.covers(one)), default=None)
        if left is None:
            _put(one, State.FIRING, now)
        else:
            one.muted_until = left

    def also(changed: list[Alert], using: str) -> None:
        Mute.objects.using(using).filter(pk__in=[one.pk for one in ended]).update(
            ended=timezone.now()
        )

    return _act(Kind.UNMUTED, ids.union(alerts), by, note, change, also)


def note(ids: Iterable[int], by: Any, text: str) -> Outcome:
    """Write something into the trail of these."""
    if not text.strip():
        raise BadField("note", "text", text)
    return _act(Kind.NOTED, ids, by, text, lambda one, now: None)


def _act(
    kind: Kind,
    ids: Iterable[int],
    by: Any,
    note: str,
    change: Callable[[Alert, datetime], None],
    also: Callable[[list[Alert], str], None] | None = None,
    detail: dict[str, Any] | None = None,
) -> Outcome:
    """Change the alerts, tell the trail, the admin's history and every operator's screen."""
    note = checked_text("note", note, Alert.NOTE_LENGTH)
    wanted = sorted(set(ids))
    using = log_database()
    fold_what_waits()  # what was told before the click comes before it
    with transaction.atomic(using=using):
        found = _locked(models.Q(pk__in=wanted), using)
        missing = set(wanted) - {one.pk for one in found}
        if missing:
            raise UnknownAlert(sorted(missing))
        now = timezone.now()
        outcome = Outcome([], [])
        for one in found:
            try:
                change(one, now)
                outcome.changed.append(one)
            except AlreadyDone as error:
                outcome.refused.append(error)
        changed = outcome.changed
        states = ["state", "by", "changed", "note", "muted_until"]
        Alert.objects.using(using).bulk_update(changed, states)
        if also is not None:
            also(changed, using)
        who = by.get_username()
        events = [
            AlertEvent(
                alert=one, kind=kind, at=now, person=by, by=who, note=note, detail=detail or {}
            )
            for one in changed
        ]
        AlertEvent.objects.using(using).bulk_create(events)
        if events:
            arg = {"touch": [one.pk for one in changed], "event": events[0].as_json()}
            publish([News(Op.ALERT, ALERTS, arg=arg)], using)
            _tell_history(changed, kind, by, note)
    fold_what_waits()
    return outcome


def _tell_history(changed: list[Alert], kind: Kind, by: Any, note: str) -> None:
    """The admin's own history. It goes with its user; the trail stays."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.models import CHANGE as CHANGED
    from django.contrib.admin.models import LogEntry

    with translation.override(conf.language):
        message = f"{kind.label}: {note}" if note else str(kind.label)
    LogEntry.objects.log_actions(by.pk, changed, CHANGED, message)


def _checked_until(until: object) -> None:
    now = timezone.now()
    aware = isinstance(until, datetime) and timezone.is_naive(until) == timezone.is_naive(now)
    if not aware or not now < until <= now + MUTED_AT_MOST:  # type: ignore[operator]
        raise BadField("until", "a time from now to a year ahead", until)


# --- Over the wire -----------------------------------------------------------------------

ACTIONS = ("ack_alert", "resolve_alert", "mute_alert", "unmute_alert", "note_alert")


def obey(inbox: Inbox, wish: Do) -> None:
    """Do what a person who was authenticated asks: on their inbox, or on the queue.

    Raises an error of `notifications.errors.BadRequest`; then nothing was changed.
    """
    if wish.action in ACTIONS:
        act(inbox.person_id, wish)
    elif wish.action in inbox_actions:
        inbox.act(wish.action, wish.ids, wish.upto)
    else:
        raise UnknownAction(wish.action, [*inbox_actions, *ACTIONS])


def act(person_id: Any, wish: Do) -> Outcome:
    """Do one of `ACTIONS` for a person, if they may.

    Raises `Forbidden`, `UnknownAlert`, `BadFrame`, and `AlreadyDone` where nothing was changed.
    """
    by = get_user_model()._base_manager.filter(pk=person_id).first()
    if by is None or not by.has_perm(CHANGE):
        raise Forbidden(CHANGE)
    if not wish.ids or wish.upto is not None:
        raise BadFrame(f"{wish.action} needs ids: a list of alerts.")
    try:
        outcome = _wished(wish, wish.ids, by)
    except BadNotification as error:
        raise BadFrame(str(error)) from error
    if outcome.refused and not outcome.changed:
        raise outcome.refused[0]
    return outcome


def _wished(wish: Do, ids: list[int], by: Any) -> Outcome:
    match wish.action:
        case "ack_alert":
            return acknowledge(ids, by, wish.note)
        case "resolve_alert":
            return close(ids, by, wish.note)
        case "unmute_alert":
            return unmute(ids, by, wish.note)
        case "note_alert":
            return note(ids, by, wish.note)
    if wish.minutes is None:
        raise BadFrame("mute_alert needs minutes: for how long.")
    return mute(ids, by, timezone.now() + timedelta(minutes=wish.minutes), wish.note)


# --- For pages ---------------------------------------------------------------------------


def position() -> int:
    """Where the stream stands, for a page that shows alerts: taken before they are queried.

    What is pending is numbered first, if no transaction is open and nobody is in the way.
    """
    fold_what_waits()
    return read_heads([ALERTS]).head.get(ALERTS, 0)


@dataclass(frozen=True)
class Summary:
    """The tiles above the queue. `hours`: how often anything was told, in each of the last 24
    hours, oldest first."""

    firing: int
    acknowledged: int
    muted: int
    resolved_today: int
    critical: int
    """Those firing that are critical: what the strip on every page counts."""
    hours: list[tuple[datetime, int]]


def summary() -> Summary:
    """Three statements, whatever the number of alerts."""
    using = log_database()
    alerts = Alert.objects.using(using)
    now = timezone.now()
    local = timezone.localtime(now) if timezone.is_aware(now) else now
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    states = dict(
        alerts.exclude(state=State.RESOLVED)
        .order_by()
        .values_list("state")
        .annotate(models.Count("pk"))
    )
    ended = models.Q(state=State.RESOLVED, changed__gte=midnight)
    critical = models.Q(state=State.FIRING, level__gte=Level.CRITICAL)
    sums = alerts.filter(ended | critical).aggregate(
        ended=models.Count("pk", filter=ended), critical=models.Count("pk", filter=critical)
    )
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    begin = this_hour - timedelta(hours=23)
    counted = dict(
        AlertHour.objects.using(using)
        .filter(hour__gte=begin)
        .order_by()
        .values_list("hour")
        .annotate(models.Sum("count"))
    )
    hours = [begin + timedelta(hours=number) for number in range(24)]
    return Summary(
        firing=states.get(State.FIRING, 0),
        acknowledged=states.get(State.ACKNOWLEDGED, 0),
        muted=states.get(State.MUTED, 0),
        resolved_today=sums["ended"],
        critical=sums["critical"],
        hours=[(hour, counted.get(hour, 0)) for hour in hours],
    )
