"""Who: audiences, what they resolve to, and which streams a person reads."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from typing import Any

from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_backends,
    get_user_model,
    load_backend,
)
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.cached_db import SessionStore as CachedDatabaseSession
from django.contrib.sessions.backends.db import SessionStore as DatabaseSession
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from .conf import conf
from .errors import UnknownGroup, UnknownRecipient, UnknownUser
from .models import Op
from .stream.bell import ring_on_commit
from .stream.names import ALERTS, EVERYONE, STAFF, group_of, group_stream, session_mark, user_stream
from .stream.number import log_database
from .stream.publish import News, publish
from .stream.read import Member, Subscription, begin_here, erase, hold, subscribe, told_by_name
from .stream.sql import among
from .wire import Close

PAGE = 10_000
"""Keys of an audience's people that are read at once."""
VIEW_ALERTS = "notifications.view_alert"
"""The permission with which one reads the stream `alerts`."""


class Audience:
    """A set of people. Combine them with `|`, `&` and `-`.

    `Everyone()`, `Staff()` and `Group(...)` alone are shared streams: telling them something
    costs one row, whatever their size. Everything else is resolved to people when it is sent.
    """

    def stream(self) -> str | None:
        """The shared stream of this audience, or None: it is a list of people."""
        return None

    def people(self) -> models.QuerySet[Any]:
        """The users in it now. Raises `UnknownRecipient`."""
        raise NotImplementedError

    def keys(self) -> models.QuerySet[Any, Any]:
        """The keys of its people, as a subquery."""
        people = self.people()
        return (people if people.query.is_sliced else people.order_by()).values("pk")

    def pages(self) -> Iterator[list[Any]]:
        """The keys of its people, each once, in order; so many at a time, whatever its size."""
        people = self.people()
        if people.query.combinator or people.query.distinct_fields or people.query.is_sliced:
            people = _users().filter(pk__in=self.keys())
        keys = people.order_by("pk").values_list("pk", flat=True)
        page = list(dict.fromkeys(keys[:PAGE]))
        while page:
            yield page
            page = list(dict.fromkeys(keys.filter(pk__gt=page[-1])[:PAGE]))

    def __or__(self, other: Audience) -> Audience:
        return _Combined("|", operator.or_, self, _checked(other))

    def __and__(self, other: Audience) -> Audience:
        return _Combined("&", operator.and_, self, _checked(other))

    def __sub__(self, other: Audience) -> Audience:
        return _Combined("-", lambda a, b: a & ~b, self, _checked(other))


def _checked(other: object) -> Audience:
    if not isinstance(other, Audience):
        raise UnknownRecipient(other)
    return other


def _users() -> models.QuerySet[Any]:
    return get_user_model()._default_manager.all()


@dataclass(frozen=True)
class Everyone(Audience):
    """All people with an account that is not disabled."""

    def stream(self) -> str:
        return EVERYONE

    def people(self) -> models.QuerySet[Any]:
        return _users().filter(is_active=True)

    def __str__(self) -> str:
        return "everyone"


@dataclass(frozen=True)
class Staff(Audience):
    """People who may enter the Django admin (`is_staff`)."""

    def stream(self) -> str:
        return STAFF

    def people(self) -> models.QuerySet[Any]:
        return _users().filter(is_active=True, is_staff=True)

    def __str__(self) -> str:
        return "staff"


@dataclass(frozen=True)
class Group(Audience):
    """The members of a Django group, by its name or as the group itself."""

    group: str | DjangoGroup

    def found(self) -> DjangoGroup:
        """The Django group; raises `UnknownGroup`."""
        if isinstance(self.group, DjangoGroup) and self.group.pk is not None:
            return self.group
        name = str(self.group)
        group = DjangoGroup.objects.filter(name=name).first()
        if group is None:
            raise UnknownGroup(name, DjangoGroup.objects.values_list("name", flat=True)[:1_000])
        return group

    def stream(self) -> str:
        return group_stream(self.found().pk)

    def people(self) -> models.QuerySet[Any]:
        return _users().filter(is_active=True, groups=self.found())

    def __str__(self) -> str:
        return f'group "{self.group}"'


class Users(Audience):
    """Chosen people: a queryset of users, or users, or their primary keys."""

    def __init__(self, users: Iterable[Any]) -> None:
        self._users = users

    @classmethod
    def named(cls, *usernames: str) -> Users:
        """People by what they log in with; raises `UnknownUser` for a name nobody has."""
        model = get_user_model()
        field = model.USERNAME_FIELD
        found = _users().filter(**{f"{field}__in": usernames})
        known = {getattr(user, field): user for user in found}
        for name in usernames:
            if name not in known:
                names = _users().values_list(field, flat=True)[:1_000]
                raise UnknownUser(name, map(str, names))
        return cls(list(known.values()))

    def people(self) -> models.QuerySet[Any]:
        if isinstance(self._users, models.QuerySet):
            if not issubclass(self._users.model, get_user_model()):
                raise UnknownRecipient(self._users.model.__name__)
            return self._users
        users = list(self._users)
        keys = [pk_of(user) if isinstance(user, models.Model) else user for user in users]
        try:
            found = _users().filter(pk__in=keys)
            missing = {str(key) for key in keys} - {
                str(pk) for pk in found.values_list("pk", flat=True)
            }
        except (TypeError, ValueError) as error:
            raise UnknownRecipient(keys) from error
        if missing:
            raise UnknownRecipient(", ".join(sorted(missing)[:10]))
        return found

    def __str__(self) -> str:
        return "chosen users"


class Usernames(Audience):
    """People by what they log in with, read from lines as they are needed, however many.

    A name that nobody has is left out, and kept in `unknown` with the number of its line.
    """

    KEPT = 1_000
    """Unknown names that are kept; more are only counted."""

    def __init__(self, lines: Callable[[], Iterable[str]], source: str) -> None:
        self._lines, self.source = lines, source
        self.unknown: list[tuple[int, str]] = []
        self.unknown_count = 0

    def people(self) -> models.QuerySet[Any]:
        raise UnknownRecipient(f"{self} (in a combination)")

    def pages(self) -> Iterator[list[Any]]:
        self.unknown, self.unknown_count = [], 0
        names = ((number, line.strip()) for number, line in enumerate(self._lines(), 1))
        named = (one for one in names if one[1])
        while page := list(islice(named, PAGE)):
            if keys := self._known(page):
                yield keys

    def _known(self, named: list[tuple[int, str]]) -> list[Any]:
        field = get_user_model().USERNAME_FIELD
        names = {name for _number, name in named if "\x00" not in name}
        found = _users().filter(**{f"{field}__in": names})
        known = dict(found.values_list(field, "pk"))
        unknown = [one for one in named if one[1] not in known]
        self.unknown_count += len(unknown)
        self.unknown += unknown[: self.KEPT - len(self.unknown)]
        return list(dict.fromkeys(known[name] for _number, name in named if name in known))

    def __str__(self) -> str:
        return f"users from {self.source}"


class _Combined(Audience):
    def __init__(
        self,
        sign: str,
        combine: Callable[[models.Q, models.Q], models.Q],
        left: Audience,
        right: Audience,
    ) -> None:
        self.sign, self.combine, self.left, self.right = sign, combine, left, right

    def people(self) -> models.QuerySet[Any]:
        left, right = (models.Q(pk__in=side.keys()) for side in (self.left, self.right))
        return _users().filter(self.combine(left, right))

    def __str__(self) -> str:
        return f"({self.left} {self.sign} {self.right})"


def audience_of(stream: str) -> Audience | None:
    """The audience that reads a shared stream; None for a group that is gone."""
    if stream == EVERYONE:
        return Everyone()
    if stream == STAFF:
        return Staff()
    group = DjangoGroup.objects.filter(pk=group_of(stream) or 0).first()
    return None if group is None else Group(group)


# --- Resolving ---------------------------------------------------------------------------


def pk_of(user: object) -> Any:
    """The key of a saved user; raises `UnknownRecipient` for anything else."""
    if isinstance(user, AnonymousUser):
        raise UnknownRecipient("AnonymousUser")
    if not isinstance(user, get_user_model()):
        raise UnknownRecipient(user)
    if user.pk is None:
        raise UnknownRecipient(f"{user} (not saved)")
    return user.pk


@dataclass(frozen=True)
class Recipients:
    """Where a notification goes: one shared stream, or these people."""

    stream: str | None
    person_ids: list[Any]
    more: Iterator[list[Any]] | None = None
    """Pages of further people, where there are more than fit into one transaction."""

    def pages(self) -> Iterator[list[Any]]:
        """All people; once only."""
        yield self.person_ids
        yield from self.more or ()


def resolve(to: object) -> Recipients:
    """Where `to` leads. Each person once. Raises `UnknownRecipient`.

    Named users cost no query; an audience that is not one shared stream costs one.
    """
    if isinstance(to, models.QuerySet):
        to = Users(to)
    elif isinstance(to, list | tuple | set | frozenset):
        audiences = [one for one in to if isinstance(one, Audience)]
        ids = list(dict.fromkeys(pk_of(one) for one in to if not isinstance(one, Audience)))
        if not audiences:
            return _recipients(ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
        to = reduce(operator.or_, [*audiences, Users(ids)] if ids else audiences)
        return _recipients(to.pages())
    if isinstance(to, Audience):
        stream = to.stream()
        return _recipients(to.pages()) if stream is None else Recipients(stream, [])
    return Recipients(None, [pk_of(to)])


def _recipients(pages: Iterator[list[Any]]) -> Recipients:
    """Some people: their keys where they are few, else the first of them and the rest in pages."""
    people: list[Any] = []
    for page in pages:
        people += page
        if len(people) > conf.list_at_once:
            return Recipients(None, people, pages)
    return Recipients(None, people)


def streams_of(user: Any) -> list[str]:
    """The shared streams that a person reads: those of the audiences they belong to now.

    Operators also read `alerts`.
    """
    return _streams_of([user])[user.pk]


def _streams_of(users: Collection[Any]) -> dict[Any, list[str]]:
    groups, operators = _groups_and_power(users)
    return {
        user.pk: [
            EVERYONE,
            *([STAFF] if getattr(user, "is_staff", False) else ()),
            *([ALERTS] if user.pk in operators else ()),
            *map(group_stream, groups.get(user.pk, ())),
        ]
        for user in users
    }


def _groups_and_power(users: Collection[Any]) -> tuple[dict[Any, list[Any]], set[Any]]:
    """The people's groups, and who of them may see alerts: in one statement, for all who log in
    pass here. Backends of the project are asked in their own way."""
    if not users:
        return {}, set()
    model = get_user_model()
    if not hasattr(model, "groups") or not hasattr(model, "user_permissions"):
        able = [user for user in users if hasattr(user, "has_perm")]
        return {}, {user.pk for user in able if user.has_perm(VIEW_ALERTS)}
    stock = _stock_backends()
    plain = {user.pk for user in users if stock and user.is_active and not user.is_superuser}
    powerful = {user.pk for user in users if user.pk not in plain and user.has_perm(VIEW_ALERTS)}
    field = model._meta.get_field("groups")
    person, group = field.m2m_field_name(), field.m2m_reverse_field_name()
    viewing = DjangoGroup.permissions.through._default_manager.filter(
        _viewing("permission__"), group=models.OuterRef(group)
    )
    rows: models.QuerySet[Any] = model.groups.through._default_manager.all()
    members = (
        rows.filter(among(rows.model, person, [user.pk for user in users], rows.db))
        .order_by()
        .values_list(person, group, models.Exists(viewing))
    )
    person = model._meta.get_field("user_permissions").m2m_field_name()
    true = models.Value(True, models.BooleanField())
    rows = model.user_permissions.through._default_manager.all()
    own = (
        rows.filter(_viewing("permission__"), among(rows.model, person, plain, rows.db))
        .order_by()
        .values_list(person, models.F("pk") * 0, true)
    )
    groups: dict[Any, list[Any]] = {}
    for person_id, group_id, can in members.union(own, all=True) if plain else members:
        if group_id:
            groups.setdefault(person_id, []).append(group_id)
        if can and person_id in plain:
            powerful.add(person_id)
    return groups, powerful


def _viewing(prefix: str = "") -> models.Q:
    """The permission with which one reads the alerts."""
    app, _dot, codename = VIEW_ALERTS.partition(".")
    return models.Q(**{f"{prefix}content_type__app_label": app, f"{prefix}codename": codename})


def _stock_backends() -> bool:
    """Whether Django's own tables decide on permissions, so that they can be asked directly."""
    return all(
        getattr(backend, name, None) is None
        or getattr(type(backend), name) is getattr(ModelBackend, name, None)
        for backend in get_backends()
        for name in (
            "has_perm",
            "get_all_permissions",
            "get_user_permissions",
            "get_group_permissions",
        )
    )


# --- Whose session this is ---------------------------------------------------------------


def authenticate(keys: Iterable[str]) -> dict[str, Subscription | Close]:
    """The streams of whom each session belongs to, or the code that refuses it. In a thread.

    As many queries for a thousand sessions as for one. It only reads: Channels' own look-up
    flushes a session whose hash was made with an older SECRET_KEY, and so logs people out of
    the site.
    """
    answers: dict[str, Subscription | Close] = dict.fromkeys(keys, Close.LOGIN_REQUIRED)
    sessions = _sessions(list(answers))
    claims: dict[str, dict[Any, list[str]]] = {}
    model = get_user_model()
    for key, session in sessions.items():
        path = session.get(BACKEND_SESSION_KEY)
        if path in conf.authentication_backends and SESSION_KEY in session:
            person_id = model._meta.pk.to_python(session[SESSION_KEY])
            claims.setdefault(path, {}).setdefault(person_id, []).append(key)
    users: dict[Any, Any] = {}
    owners: dict[str, Any] = {}
    unknown: dict[Any, list[str]] = {}
    for path, people in claims.items():
        found = _users_of(load_backend(path), people)
        for person_id, theirs in people.items():
            user = found.get(person_id)
            if user is None:
                unknown.setdefault(person_id, []).extend(theirs)
                continue
            for key in theirs:
                if _is_theirs(sessions[key], user):
                    users[user.pk], owners[key] = user, user.pk
    if unknown:
        disabled = model._base_manager.filter(pk__in=unknown, is_active=False)
        for person_id in disabled.values_list("pk", flat=True):
            answers |= dict.fromkeys(unknown[person_id], Close.ACCOUNT_DISABLED)
    streams = _streams_of(users.values())
    members = {
        pk: Member(streams[pk], getattr(user, "date_joined", None)) for pk, user in users.items()
    }
    subscriptions = subscribe(members) if members else {}
    return answers | {key: subscriptions[person_id] for key, person_id in owners.items()}


def _sessions(keys: list[str]) -> dict[str, Mapping[str, Any]]:
    """What is in these sessions; those that are over are left out, or empty."""
    engine = conf.session_engine.SessionStore
    if engine.load not in (DatabaseSession.load, CachedDatabaseSession.load):
        return {key: engine(key) for key in keys}
    live = _live_sessions(engine.get_model_class(), keys)
    decode = engine().decode
    return {key: decode(text) for key, text in live.values_list("session_key", "session_data")}


def _users_of(backend: Any, people: Iterable[Any]) -> dict[Any, Any]:
    """The users that the backend lets in, by key: in one query where it is Django's own."""
    if type(backend).get_user is not ModelBackend.get_user:
        found = {person_id: backend.get_user(person_id) for person_id in people}
        return {person_id: user for person_id, user in found.items() if user is not None}
    model = get_user_model()
    users = model._default_manager.all()
    theirs = users.filter(among(model, "pk", list(people), users.db))
    return {user.pk: user for user in theirs if backend.user_can_authenticate(user)}


def _is_theirs(session: Mapping[str, Any], user: Any) -> bool:
    """Whether the session was made with the password that the user has now."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    known = session.get(HASH_SESSION_KEY, "")
    if constant_time_compare(known, user.get_session_auth_hash()):
        return True
    older = user.get_session_auth_fallback_hash()
    return any(constant_time_compare(known, one) for one in older)


def ended_sessions(keys: Iterable[str]) -> set[str]:
    """Those of these sessions that are over: expired or deleted. In a thread.

    Where sessions are not in the database, nothing is said: each is looked at by itself, every
    `session_check` seconds.
    """
    store = conf.session_engine.SessionStore
    if not hasattr(store, "get_model_class"):
        return set()
    keys = set(keys)
    live = _live_sessions(store.get_model_class(), keys)
    if live.count() == len(keys):  # as nearly always
        return set()
    return keys - set(live.values_list("session_key", flat=True))


def _live_sessions(model: Any, keys: Collection[str]) -> Any:
    sessions = model.objects.all()
    theirs = among(model, "session_key", keys, sessions.db)
    return sessions.filter(theirs, expire_date__gt=timezone.now())


# --- People come, change and go ----------------------------------------------------------

_BEFORE = "_notifications_before"
_TOLD = "_notifications_told"
_ACCOUNT = {"is_active", "is_staff", "is_superuser", "password"}
"""Fields of a user that decide which sockets may stay, and what they read."""


def watch_people() -> None:
    """Hear of changes of people's accounts, audiences and sessions; called at start.

    A shared stream begins for a person where they join its audience. Who is in it already, and
    was never seen, reads it from when they joined the site. Open sockets are told to look again.
    """
    model = get_user_model()
    if hasattr(model, "groups"):
        m2m_changed.connect(_groups_changed, sender=model.groups.through)
        m2m_changed.connect(_powers_of_group_changed, sender=DjangoGroup.permissions.through)
        pre_delete.connect(_before_group_deleted, sender=DjangoGroup)
    if hasattr(model, "user_permissions"):
        m2m_changed.connect(_powers_changed, sender=model.user_permissions.through)
    pre_save.connect(_before_save, sender=model)
    post_save.connect(_account_saved, sender=model)
    pre_delete.connect(_before_delete, sender=model)
    post_delete.connect(_account_deleted, sender=model)
    user_logged_out.connect(_logged_out)


def _groups_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **_: Any
) -> None:
    if action == "pre_clear":
        members = instance.user_set.values_list("pk", flat=True) if reverse else [instance.pk]
        _access_changed(members, using)
    if action not in ("post_add", "post_remove") or not pk_set:
        return
    people, groups = (pk_set, [instance.pk]) if reverse else ([instance.pk], pk_set)
    if action == "post_add":
        for group_id in sorted(groups):
            begin_here(sorted(people), group_stream(group_id), using)
    _access_changed(people, using)


def _before_group_deleted(instance: Any, using: str, **_: Any) -> None:
    members = _users().using(using).filter(groups=instance.pk)
    _access_changed(members.values_list("pk", flat=True), using)


def _powers_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **_: Any
) -> None:
    """People were given permissions, or lost some."""
    if action == "pre_clear":
        kept = instance.user_set if reverse else instance.user_permissions
        pk_set = set(kept.values_list("pk", flat=True))
    if action in _MOVES and pk_set:
        people, powers = (pk_set, [instance.pk]) if reverse else ([instance.pk], pk_set)
        if _shows_alerts(powers, using):
            _access_changed(people, using)


def _powers_of_group_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **_: Any
) -> None:
    """Groups were given permissions, or lost some."""
    if action == "pre_clear":
        kept = instance.group_set if reverse else instance.permissions
        pk_set = set(kept.values_list("pk", flat=True))
    if action in _MOVES and pk_set:
        groups, powers = (pk_set, [instance.pk]) if reverse else ([instance.pk], pk_set)
        if _shows_alerts(powers, using):
            members = _users().using(using).filter(groups__in=groups).distinct()
            _access_changed(members.values_list("pk", flat=True), using)


_MOVES = ("post_add", "post_remove", "pre_clear")


def _shows_alerts(permissions: Iterable[Any], using: str) -> bool:
    """Whether the one with which alerts are read is among these: it changes what sockets get."""
    return Permission.objects.using(using).filter(_viewing(), pk__in=list(permissions)).exists()


def _before_save(instance: Any, raw: bool, using: str, update_fields: Any = None, **_: Any) -> None:
    fields = _ACCOUNT & {field.name for field in instance._meta.concrete_fields}
    if raw or instance._state.adding or (update_fields and not fields & set(update_fields)):
        return
    row = type(instance)._base_manager.using(using).filter(pk=instance.pk)
    setattr(instance, _BEFORE, row.values(*fields).first())


def _account_saved(instance: Any, using: str, **_: Any) -> None:
    before = instance.__dict__.pop(_BEFORE, None)
    if before is None or all(getattr(instance, name) == value for name, value in before.items()):
        return
    if before.get("is_staff") is False and instance.is_staff:
        begin_here([instance.pk], STAFF, using)
    _access_changed([instance.pk], using)


def _before_delete(instance: Any, using: str, **_: Any) -> None:
    hold(user_stream(instance.pk), using)
    setattr(instance, _TOLD, told_by_name(instance.pk, using))


def _account_deleted(instance: Any, using: str, **_: Any) -> None:
    erase(instance.pk, instance.__dict__.pop(_TOLD, []), using)
    ring_on_commit([user_stream(instance.pk)], using)


def _logged_out(request: Any, user: Any, **_: Any) -> None:
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key and user is not None and user.pk is not None:
        _access_changed([user.pk], log_database(), {"logout": session_mark(key)})


def _access_changed(people: Iterable[Any], using: str, arg: dict[str, str] | None = None) -> None:
    """Tell the hubs, in the log: so it reaches every process, with a channel layer or without."""
    publish((News.for_person(Op.ACCESS, person_id, arg=arg) for person_id in people), using)


def disconnect(people: Iterable[Any]) -> None:
    """Close all sockets of these people, in every process. Their browsers come back by themselves.

    To keep somebody out, end their sessions or disable the account.
    """
    _access_changed([pk_of(person) for person in people], log_database(), {"disconnect": "now"})
