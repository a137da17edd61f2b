"""The front door: `notify`, `broadcast`, `recall`, in the order in which it happens.

Everything is checked first; then the rows are inserted in the caller's own transaction; the
bell rings after the commit. Nothing here waits for the network, or for another caller's lock
(but for a call with the same `key` that is not committed yet).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, models, transaction
from django.utils import timezone, translation

from .audiences import Audience, Recipients, resolve
from .conf import conf
from .errors import BadField, FieldTooLong, UnknownLevel, UnknownRecipient
from .models import FanOut, Level, Notification, Op, ref
from .notices import Notice, checked_text, checked_title, checked_url, registered, words
from .signals import notification_recalled, notification_sent
from .stream import fan_out
from .stream.number import log_database
from .stream.publish import News, publish, tell

DATA_LENGTH = 10_000


def notify(
    to: Any,
    title: Any = None,
    *,
    body: Any = "",
    url: str = "",
    level: str = "info",
    kind: str = "",
    actor: models.Model | None = None,
    target: models.Model | None = None,
    data: dict[str, Any] | None = None,
    expires: datetime | timedelta | None = None,
    at: datetime | None = None,
    key: str | None = None,
) -> Notification:
    """Tell `to` something: `notify(user, "Export ready", url="/exports/7/")`.

    `to` is a user, several, a queryset of users, an audience, or a `Notice`, which says
    everything about itself and takes no other argument.

    `level`: debug, info, success, warning, error or critical. `url`: a path on the site, or an
    http(s) address. `data`: JSON that clients get as it is, 10,000 characters at most.
    `expires`: a time, or how long from when it is delivered. `at`: when to deliver it. `key`:
    the same key to the same audience is one notification, and the stored one is returned.

    Returns the stored notification. Raises an error of `notifications.errors.BadNotification`
    that says what was expected; then nothing was stored.
    """
    if isinstance(to, Notice):
        others = (title, body, url, kind, actor, target, data, expires, at, key)
        if any(others) or level != "info":
            raise BadField("a notice", "the only argument, since it says everything", others)
        return send(to)[0]
    notification = draft(
        title,
        body=body,
        url=url,
        level=level,
        kind=kind,
        actor=actor,
        target=target,
        data=data,
        expires=expires,
        at=at,
    )
    return deliver(notification, to, key, at)[0]


def draft(
    title: Any,
    *,
    body: Any = "",
    url: str = "",
    level: str = "info",
    kind: str = "",
    actor: models.Model | None = None,
    target: models.Model | None = None,
    data: dict[str, Any] | None = None,
    expires: datetime | timedelta | None = None,
    at: datetime | None = None,
) -> Notification:
    """The notification that `notify` would store for these arguments, checked and not stored."""
    return Notification(
        kind=_kind(kind),
        level=checked_level(level),
        title=checked_title(title),
        body=checked_text("body", body, Notification.BODY_LENGTH),
        url=checked_url(url),
        **named("actor", actor),
        **named("target", target),
        data=_data(data),
        **_times(at, expires),
    )


def deliver(
    notification: Notification, to: Any, key: str | None = None, at: datetime | None = None
) -> tuple[Notification, bool]:
    """Send a draft; the stored notification, and whether it is new."""
    return _store(notification, resolve(to), key, None, to, at)


def broadcast(
    audience: Audience,
    title: Any,
    *,
    body: Any = "",
    url: str = "",
    level: str = "info",
    kind: str = "",
    actor: models.Model | None = None,
    target: models.Model | None = None,
    data: dict[str, Any] | None = None,
    expires: datetime | timedelta | None = None,
    at: datetime | None = None,
    key: str | None = None,
) -> Notification:
    """Tell an audience something: `notify` that takes nothing but an audience.

    A shared one (`Everyone()`, `Staff()`, `Group(...)`) costs one row, whatever its size.
    """
    if not isinstance(audience, Audience):
        raise UnknownRecipient(audience)
    return notify(
        audience,
        title,
        body=body,
        url=url,
        level=level,
        kind=kind,
        actor=actor,
        target=target,
        data=data,
        expires=expires,
        at=at,
        key=key,
    )


def recall(notification: Notification) -> bool:
    """Withdraw a notification from every inbox. False if it was withdrawn before."""
    using = log_database()
    with transaction.atomic(using=using, savepoint=False):
        now = timezone.now()
        live = Notification.objects.using(using).filter(pk=notification.pk, recalled_at=None)
        if not live.update(recalled_at=now):
            return False
        notification.recalled_at = now
        if notification.audience:
            arg = {"ids": [notification.pk]}
            publish([News(Op.RECALLED, notification.audience, notification.pk, arg=arg)], using)
        else:
            fan_out.recall(notification, conf.list_at_once, using)
        _after_commit(
            using,
            lambda: notification_recalled.send(Notification, notification=notification),
        )
    return True


anotify = sync_to_async(notify)
abroadcast = sync_to_async(broadcast)


# --- From arguments to a row -------------------------------------------------------------


def send(notice: Notice, recipients: Recipients | None = None) -> tuple[Notification, bool]:
    """Store a notice; with whether it is new, or was there with the same key."""
    with translation.override(conf.language):
        title, body, url = words(notice)
    at = notice.at()
    notification = Notification(
        kind=notice.kind,
        level=checked_level(notice.level),
        title=title,
        body=body,
        url=url,
        **named("actor", notice.actor()),
        **named("target", notice.target()),
        params=notice.params(),
        data=_data(notice.data()),
        **_times(at, notice.expires()),
    )
    to = notice.recipients() if recipients is None else recipients
    return _store(notification, recipients or resolve(to), notice.key(), type(notice), to, at)


def checked_level(word: object) -> Level:
    known = {level.word: level for level in Level}
    if not isinstance(word, str) or word not in known:
        raise UnknownLevel(word, known)
    return known[word]


def _kind(kind: object) -> str:
    text = checked_text("kind", kind, Notification.KIND_LENGTH)
    if text and registered(text):
        raise BadField("kind", f"no name of a Notice (send {registered(text)!r} itself)", text)
    return text


def named(field: str, instance: object) -> dict[str, str]:
    if instance is None:
        return {}
    if not isinstance(instance, models.Model) or instance.pk is None:
        raise BadField(field, "a saved model instance", instance)
    name = str(instance)[: Notification.NAME_LENGTH]
    return {f"{field}_ref": ref(instance), f"{field}_name": name}


def _data(data: object) -> dict[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadField("data", "a dict", data)
    try:
        text = json.dumps(data, allow_nan=False)
        json.dumps(data, ensure_ascii=False).encode()  # as clients get it: no half characters
    except (TypeError, ValueError, RecursionError) as error:
        raise BadField("data", f"JSON ({error})", data) from error
    if len(text) > DATA_LENGTH:
        raise FieldTooLong("data", len(text), DATA_LENGTH)
    if "\\u0000" in text:
        raise BadField("data", "JSON without NUL characters", data)
    return json.loads(text)


def _times(at: object, expires: object) -> dict[str, datetime]:
    created = timezone.now() if at is None else _moment("at", at)
    if expires is None:
        return {"created": created}
    end = created + expires if isinstance(expires, timedelta) else _moment("expires", expires)
    if end <= created:
        raise BadField("expires", "later than the notification is delivered", expires)
    return {"created": created, "expires": end}


def _moment(field: str, value: object) -> datetime:
    if not isinstance(value, datetime) or timezone.is_naive(value) != timezone.is_naive(
        timezone.now()
    ):
        kind = "a naive datetime" if timezone.is_naive(timezone.now()) else "an aware datetime"
        raise BadField(field, kind, value)
    return value


# --- From a row to the log ---------------------------------------------------------------


def _store(
    notification: Notification,
    recipients: Recipients,
    key: str | None,
    sender: type[Notice] | None,
    audience: object,
    at: datetime | None,
) -> tuple[Notification, bool]:
    using = log_database()
    notification.audience = recipients.stream or ""
    if recipients.more is not None:
        return _store_list(notification, recipients, key, sender, audience, at)
    notification.key = digest(key, recipients.stream, recipients.person_ids)
    with transaction.atomic(using=using, savepoint=False):
        if not _insert(notification, using):
            return _with_key(notification, using), False
        if recipients.stream is not None:
            publish([News(Op.CREATED, recipients.stream, notification.pk, due=at)], using)
        else:
            tell(notification, recipients.person_ids, using, due=at)
        _announce(notification, sender, audience, using)
    return notification, True


def _store_list(
    notification: Notification,
    recipients: Recipients,
    key: str | None,
    sender: type[Notice] | None,
    audience: object,
    at: datetime | None,
) -> tuple[Notification, bool]:
    """Store a notification for more people than one transaction should tell."""
    using = log_database()
    digest(key, None, [])  # refused before anything is written
    count, names = 0, 0

    def counted() -> Iterator[list[Any]]:
        nonlocal count, names
        for page in recipients.pages():
            if key is not None:  # the same in any order
                count += len(page)
                names += sum(int(sha256(str(person_id)).hexdigest(), 16) for person_id in page)
            yield page

    draft, _size = fan_out.write_down(counted(), at, using)
    who = ["these", str(count), str(names)]
    return send_list(draft, notification, digest(key, None, who), using, sender, audience)


def send_list(
    draft: FanOut,
    notification: Notification,
    key: str | None,
    using: str,
    sender: type[Notice] | None = None,
    audience: object = None,
    *,
    more: bool = False,
) -> tuple[Notification, bool]:
    """Send a notification to a list that was written down; with whether it is new.

    With `more`, one with the same key is sent to those of the list who do not have it.
    """
    notification.key = key
    try:
        with transaction.atomic(using=using, savepoint=False):
            new = _insert(notification, using)
            if not new:
                notification = _with_key(notification, using)
            if new or (more and notification.recalled_at is None):
                fan_out.send(draft, notification, using)
            else:
                fan_out.discard(draft, using)
            if new:
                _announce(notification, sender, audience, using)
    except BaseException:
        fan_out.discard(draft, using)
        raise
    return notification, new


def _announce(
    notification: Notification, sender: type[Notice] | None, audience: object, using: str
) -> None:
    """Send the signal, after the commit."""
    if not notification_sent.has_listeners(sender):
        return

    def tell_listeners() -> None:
        if notification.pk is not None:  # not replaced by a later save
            notification_sent.send(sender, notification=notification, audience=audience)

    _after_commit(using, tell_listeners)


def _with_key(notification: Notification, using: str) -> Notification:
    return Notification.objects.using(using).get(key=notification.key)


def _insert(notification: Notification, using: str) -> bool:
    """Insert the row; False if there is one with the same key."""
    if notification.key is None:
        notification.save(using=using, force_insert=True)
        return True
    if Notification.objects.using(using).filter(key=notification.key).exists():
        return False
    try:
        with transaction.atomic(using=using):  # a savepoint: the caller's work must survive
            notification.save(using=using, force_insert=True)
    except IntegrityError:
        return False
    return True


def digest(key: object, stream: str | None, people: Iterable[Any]) -> str | None:
    """The key and the audience as one word, so that a key is unique for each audience."""
    if key is None:
        return None
    if not isinstance(key, str) or not key:
        raise BadField("key", "a string that is not empty", key)
    return sha256(json.dumps([key, stream, sorted(map(str, people))])).hexdigest()


def sha256(text: str) -> Any:
    return hashlib.sha256(text.encode())


def _after_commit(using: str, callback: Callable[[], object]) -> None:
    transaction.on_commit(callback, using=using, robust=True)
