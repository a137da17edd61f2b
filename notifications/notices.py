"""Kinds of notifications: one class says everything about each.

    class OrderShipped(Notice):
        order: Order

        def recipients(self): return self.order.buyer
        def title(self): return _("Order %(n)s is on its way") % {"n": self.order.number}
        def url(self): return self.order.get_absolute_url()

A notice is stored by its fields, and rendered when it is read, in the reader's language.
Fields that are model instances are fetched again then, so that text and link are those of
today; what must stay as it was when it was sent is a field of its own (`status: str`).
"""

from __future__ import annotations

import inspect
import logging
import re
import types
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Union, dataclass_transform, get_args, get_origin, get_type_hints
from uuid import UUID

from django.apps import apps
from django.db import models, router
from django.utils import translation
from django.utils.functional import Promise

from .conf import conf
from .errors import (
    BadField,
    ConfigurationError,
    EmptyTitle,
    FieldTooLong,
    UnsafeURL,
)
from .models import Notification, described, ref

logger = logging.getLogger("notifications")

_registry: dict[str, type[Notice]] = {}

_SCALARS: dict[str, Any] = {
    "decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "time": time,
    "uuid": UUID,
}
_BY_STR = (Decimal, UUID)
_PLAIN = (str, bool, int, float)


@dataclass_transform(kw_only_default=True)
class Notice:
    """The base of every kind. Fields are annotated, and checked when a notice is built.

    A field is a saved model instance, a string, number, bool, `Decimal`, date, time, `UUID`,
    or a list of these, or None where the annotation allows it.
    """

    kind: ClassVar[str]
    """The kind's name in the database and on the wire; by default the class's in snake_case."""
    verbose_name: ClassVar[str | Promise] = ""
    """The kind's name for people, in the filter of the inbox; by default `kind` in words."""
    level: ClassVar[str] = "info"
    select_related: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Relations to fetch along with a field's instance, so that a list of notices costs no
    query each: `{"order": ("buyer",)}`."""

    def recipients(self) -> Any:
        """Who gets it: a user, several, a queryset, or an audience."""
        raise NotImplementedError(f"{type(self).__name__} needs a recipients() method")

    def title(self) -> str | Promise:
        raise NotImplementedError(f"{type(self).__name__} needs a title() method")

    def body(self) -> str | Promise:
        return ""

    def url(self) -> str:
        return ""

    def actor(self) -> models.Model | None:
        """Who did it."""
        return None

    def target(self) -> models.Model | None:
        """What it is about."""
        return None

    def data(self) -> dict[str, Any]:
        """Anything else that clients get, as JSON."""
        return {}

    def key(self) -> str | None:
        """The idempotency key: the same key to the same audience is one notification."""
        return None

    def expires(self) -> datetime | timedelta | None:
        return None

    def at(self) -> datetime | None:
        """When it is to be delivered; now, if None."""
        return None

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        if "kind" not in cls.__dict__:
            cls.kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        known = _registry.get(cls.kind)
        if known is not None and _home(known) != _home(cls):
            raise ConfigurationError(
                f"two notices are of the kind {cls.kind!r}: {_home(known)} and {_home(cls)}; "
                'give one of them a name of its own: kind = "..."'
            )
        if len(cls.kind) > Notification.KIND_LENGTH:
            raise ConfigurationError(f"the kind {cls.kind!r} is too long.")
        _registry[cls.kind] = cls

    def __init__(self, **values: Any) -> None:
        hints = self.field_types()
        for name in values.keys() - hints.keys():
            raise BadField(name, f"one of the fields of {type(self).__name__}", values[name])
        for name, hint in hints.items():
            if name in values:
                value = values[name]
            elif hasattr(type(self), name):
                value = getattr(type(self), name)
            else:
                raise BadField(name, f"given, since {type(self).__name__} needs it", None)
            _check(name, hint, value)
            setattr(self, name, value)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.field_types())
        return f"{type(self).__name__}({fields})"

    @classmethod
    def field_types(cls) -> dict[str, Any]:
        """The fields and their types."""
        found = cls.__dict__.get("_field_types")
        if found is None:
            own = {
                name
                for base in cls.__mro__
                if base is not Notice
                for name in inspect.get_annotations(base)
            }
            hints = get_type_hints(cls)
            found = {
                name: hints[name]
                for name in hints
                if name in own and get_origin(hints[name]) is not ClassVar
            }
            cls._field_types = found  # type: ignore[attr-defined]
        return found

    def params(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {name: _pack(getattr(self, name)) for name in self.field_types()}


def _home(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def registered(kind: str) -> type[Notice] | None:
    """The class of a kind, if there is one."""
    return _registry.get(kind)


def name_of_kind(kind: str) -> str:
    """A kind as people read it."""
    cls = _registry.get(kind)
    given = str(cls.verbose_name) if cls else ""
    return given or kind.replace("_", " ").capitalize()


# --- Fields ------------------------------------------------------------------------------


def _check(name: str, hint: Any, value: Any) -> None:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if not any(_fits(option, value) for option in args):
            raise BadField(name, " or ".join(map(_word, args)), value)
    elif not _fits(hint, value):
        raise BadField(name, _word(hint), value)
    if isinstance(value, models.Model) and value.pk is None:
        raise BadField(name, "saved before it is notified about", value)


def _fits(hint: Any, value: Any) -> bool:
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if get_origin(hint) is list:
        (item,) = get_args(hint) or (Any,)
        return isinstance(value, list) and all(_fits(item, one) for one in value)
    if not isinstance(hint, type):
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _word(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))


def _pack(value: Any) -> Any:
    if isinstance(value, models.Model):
        return {"$ref": ref(value)}
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, list):
        return [_pack(one) for one in value]
    for name, scalar in _SCALARS.items():
        if isinstance(value, scalar):
            return {f"${name}": str(value) if scalar in _BY_STR else value.isoformat()}
    raise BadField("a notice's field", "of a type that can be stored", value)


def _unpack(value: Any, instances: Mapping[str, models.Model]) -> Any:
    if isinstance(value, list):
        return [_unpack(one, instances) for one in value]
    if not isinstance(value, dict):
        return value
    ((tag, packed),) = value.items()
    if tag == "$ref":
        return instances[packed]
    scalar = _SCALARS[tag[1:]]
    return scalar(packed) if scalar in _BY_STR else scalar.fromisoformat(packed)


def _refs(value: Any) -> Iterable[str]:
    if isinstance(value, list):
        for one in value:
            yield from _refs(one)
    elif isinstance(value, dict) and "$ref" in value:
        yield value["$ref"]


# --- Checking ----------------------------------------------------------------------------


def checked_text(field: str, value: object, limit: int) -> str:
    """The text; raises `BadField` or `FieldTooLong` when it cannot be stored and shown."""
    if not isinstance(value, str | Promise):
        raise BadField(field, "a string", value)
    text = str(value)
    if len(text) > limit:
        raise FieldTooLong(field, len(text), limit)
    if "\x00" in text or (not text.isascii() and re.search("[\ud800-\udfff]", text)):
        raise BadField(field, "text without NUL characters and lone surrogates", text)
    return text


def checked_title(value: object) -> str:
    """The title, on one line; raises `EmptyTitle` or as `checked_text`."""
    title = " ".join(checked_text("title", value, Notification.TITLE_LENGTH).split())
    if not title:
        raise EmptyTitle
    return title


def checked_url(value: object) -> str:
    """A path on this site, or an http(s) address; raises `UnsafeURL`. May be empty."""
    url = checked_text("url", value, Notification.URL_LENGTH)
    if not url:
        return url
    # Browsers drop control characters and take a backslash for a slash, so neither may come.
    if re.search(r"[\x00-\x20\\\x7f]", url):
        raise UnsafeURL(url)
    if url.startswith("/") and not url.startswith("//"):
        return url
    if re.match(r"https?://[^/?#]", url, re.IGNORECASE):
        return url
    raise UnsafeURL(url)


# --- Rendering ---------------------------------------------------------------------------


def render(notifications: Iterable[Notification], language: str) -> dict[int, dict[str, Any]]:
    """The notifications as clients get them, by id, in `language`.

    One query for each model that the kinds among them speak of, none for each notification.
    """
    notifications = list(notifications)
    instances = _fetch(notifications)
    with translation.override(language if language in conf.languages else conf.language):
        return {one.pk: _rendered(one, instances) for one in notifications}


def _rendered(one: Notification, instances: Mapping[str, models.Model]) -> dict[str, Any]:
    title, body, url = one.title, one.body, one.url
    notice = _rebuilt(one, instances)
    if notice is not None:
        try:
            title, body, url = words(notice)
        except Exception:
            # A kind is the project's code: one that raises must not stop everybody's inbox.
            logger.exception("notification %s of kind %s cannot be rendered", one.pk, one.kind)
    return {
        "id": one.pk,
        "kind": one.kind,
        "level": one.level_word,
        "title": title,
        "body": body,
        "url": url,
        "actor": described(one.actor_name, one.actor_ref),
        "target": described(one.target_name, one.target_ref),
        "created": one.created.isoformat(),
        "expires": one.expires and one.expires.isoformat(),
        "data": one.data,
    }


def words(notice: Notice) -> tuple[str, str, str]:
    """Title, body and url of a notice in the active language; raises `BadNotification`."""
    return (
        checked_title(notice.title()),
        checked_text("body", notice.body(), Notification.BODY_LENGTH),
        checked_url(notice.url()),
    )


def _rebuilt(one: Notification, instances: Mapping[str, models.Model]) -> Notice | None:
    """The notice that was sent, or None if its kind or what it speaks of is gone."""
    cls = _registry.get(one.kind)
    if cls is None:
        return None
    notice = cls.__new__(cls)
    try:
        for name, value in one.params.items():
            setattr(notice, name, _unpack(value, instances))
    except KeyError:
        return None
    return notice


def _fetch(notifications: list[Notification]) -> dict[str, models.Model]:
    """The instances that the notices among the notifications refer to."""
    wanted: dict[str, set[str]] = {}
    related: dict[str, set[str]] = {}
    for one in notifications:
        cls = _registry.get(one.kind)
        if cls is None:
            continue
        for name, value in one.params.items():
            for reference in _refs(value):
                label, _colon, pk = reference.partition(":")
                wanted.setdefault(label, set()).add(pk)
                related.setdefault(label, set()).update(cls.select_related.get(name, ()))
    found: dict[str, models.Model] = {}
    for label, pks in wanted.items():
        try:
            model = apps.get_model(label)
        except LookupError:
            continue
        # Not from a replica, which may lag behind the news.
        rows = model._base_manager.using(router.db_for_write(model))
        if related[label]:
            rows = rows.select_related(*sorted(related[label]))
        found |= {ref(instance): instance for instance in rows.filter(pk__in=pks)}
    return found
