"""The page "Broadcasts": write to an audience, see whom it reaches first, and what became of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timeuntil
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from ..audiences import Audience, Everyone, Group, Staff, Users
from ..conf import conf
from ..errors import BadNotification, UnknownRecipient
from ..models import Broadcast, Level, Notification
from ..notices import checked_url, render
from ..notify import broadcast, draft
from ..reach import online, result, size
from ..stream.number import number
from .live import OperatorsPage, iso, told, uncached, wants_json

KIND = "broadcast"
"""What is sent from this page is of this kind, so that people can look for it."""
LISTED = 1_000
"""Broadcasts to chosen people that the list knows of: the newest."""


class Moment(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class BroadcastForm(forms.Form):
    EVERYONE, STAFF, GROUPS, PEOPLE = "everyone", "staff", "groups", "people"

    to = forms.ChoiceField(
        label=gettext_lazy("To"),
        widget=forms.RadioSelect,
        initial=EVERYONE,
        choices=[
            (EVERYONE, gettext_lazy("Everyone")),
            (STAFF, gettext_lazy("Staff")),
            (GROUPS, gettext_lazy("Members of groups")),
            (PEOPLE, gettext_lazy("People by name")),
        ],
    )
    groups = forms.ModelMultipleChoiceField(
        DjangoGroup.objects.order_by("name"), label=gettext_lazy("Groups"), required=False
    )
    people = forms.CharField(
        label=gettext_lazy("People"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("What they log in with, one on a line."),
    )
    level = forms.ChoiceField(
        label=gettext_lazy("Level"),
        initial=Level.INFO.word,
        choices=[(level.word, level.label) for level in Level],
    )
    title = forms.CharField(label=gettext_lazy("Title"), max_length=Notification.TITLE_LENGTH)
    body = forms.CharField(
        label=gettext_lazy("Text"),
        required=False,
        max_length=Notification.BODY_LENGTH,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    url = forms.CharField(
        label=gettext_lazy("Link"),
        required=False,
        max_length=Notification.URL_LENGTH,
        help_text=gettext_lazy("Where a click leads: /a/path/ on this site, or https://…"),
    )
    at = forms.DateTimeField(
        label=gettext_lazy("Deliver at"),
        required=False,
        widget=Moment,
        help_text=gettext_lazy("Empty: now."),
    )
    expires = forms.DateTimeField(
        label=gettext_lazy("Disappears at"),
        required=False,
        widget=Moment,
        help_text=gettext_lazy("Empty: never."),
    )
    signed = forms.BooleanField(label=gettext_lazy("Show my name as its sender"), required=False)
    key = forms.CharField(widget=forms.HiddenInput, max_length=100)
    """So that the same form sent twice is one broadcast."""

    def clean_url(self) -> str:
        try:
            return checked_url(self.cleaned_data["url"])
        except BadNotification:
            raise ValidationError(
                _("Give a path that starts with one /, or an address with http:// or https://.")
            ) from None

    def clean_at(self) -> Any:
        at = self.cleaned_data["at"]
        if at is not None and at <= timezone.now():
            raise ValidationError(_("That time is over. Leave it empty to deliver it now."))
        return at

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        expires = given.get("expires")
        if expires is not None and expires <= (given.get("at") or timezone.now()):
            self.add_error("expires", _("It would be gone before it is delivered."))
        return given

    def audience(self) -> Audience | None:
        """Whom it is for, also while the rest is not filled in; None if that is not known yet."""
        given = self.cleaned_data
        try:
            match given.get("to"):
                case self.EVERYONE:
                    return Everyone()
                case self.STAFF:
                    return Staff()
                case self.GROUPS:
                    groups = list(given.get("groups") or ())
                    if groups:
                        return reduce(or_, map(Group, groups))
                    self._ask("groups", _("Choose at least one group."))
                case self.PEOPLE:
                    names = given.get("people", "").replace(",", "\n").split("\n")
                    names = [name.strip() for name in names if name.strip()]
                    if names:
                        return Users.named(*names)
                    self._ask("people", _("Name at least one person."))
        except UnknownRecipient as error:
            said = str(error)
            self._ask("people", said[:1].upper() + said[1:])
        return None

    def _ask(self, field: str, message: str) -> None:
        if field not in self.errors:
            self.add_error(field, message)

    def content(self, user: Any) -> dict[str, Any]:
        given = self.cleaned_data
        return {name: given[name] for name in ("body", "url", "level", "at", "expires")} | {
            "kind": KIND,
            "actor": user if given["signed"] else None,
        }


@dataclass(frozen=True)
class Reach:
    """How many people an audience has, and about how many of them are connected."""

    people: int
    online: int

    @classmethod
    def of(cls, audience: Audience) -> Reach:
        people = size(audience)
        return cls(people, min(online(audience), people))

    def __str__(self) -> str:
        numbers = {"people": f"{self.people:,}", "online": f"{self.online:,}"}
        return _("People: %(people)s, about %(online)s of them online") % numbers


class BroadcastAdmin(OperatorsPage):
    needs: ClassVar[str] = "notifications.broadcast"
    needs_to_act: ClassVar[str] = "notifications.broadcast"
    list_display = ["title", "level", "to", "created", "stands"]
    ordering = ["-created", "-pk"]
    search_fields = ["title"]
    list_filter = ["level"]
    actions = None
    show_full_result_count = False

    class Media:
        css = {"all": ["notifications/min/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Broadcast]:
        """What went to a whole audience, or was sent from here."""
        sent_here = (
            LogEntry.objects.filter(content_type=_content_type(), action_flag=ADDITION)
            .order_by("-pk")
            .values_list("object_id", flat=True)[:LISTED]
        )
        shared = ~models.Q(audience="") & models.Q(kind__in=["", KIND])
        return Broadcast.objects.filter(
            shared | models.Q(pk__in=[int(pk or 0) for pk in sent_here])
        )

    @admin.display(description=gettext_lazy("To"), ordering="audience")
    def to(self, one: Broadcast) -> str:
        return audience_name(one)

    @admin.display(description=gettext_lazy("State"))
    def stands(self, one: Broadcast) -> str:
        return standing(one)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("Broadcasts"), **(extra_context or {})})

    # --- Writing one ---

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form. It is sent only by the button that says so, never by the one that shows it."""
        self.let_in(request)
        if request.method != "POST":
            form = BroadcastForm(initial={"key": str(uuid.uuid4())})
            return self._form(request, form, None, None)
        form = BroadcastForm(request.POST)
        good = form.is_valid()
        audience = form.audience()
        reach = Reach.of(audience) if audience else None
        shown = None
        if good and audience and reach:
            try:
                shown = draft(form.cleaned_data["title"], **form.content(request.user))
            except BadNotification as error:
                form.add_error(None, str(error))
        if wants_json(request):
            return uncached(JsonResponse(_preview(form, reach)))
        if reach is not None and not reach.people:
            form.add_error("to", _("There is nobody in this audience."))
        if "_send" not in request.POST or shown is None or not audience or form.errors:
            return self._form(request, form, reach, shown)
        if reach and reach.people > conf.confirm_above and "_confirmed" not in request.POST:
            return self._form(request, form, reach, shown, asks=True)
        return self._send(request, form, audience)

    def _form(
        self,
        request: HttpRequest,
        form: BroadcastForm,
        reach: Reach | None,
        shown: Notification | None,
        *,
        asks: bool = False,
    ) -> HttpResponse:
        context = self.page_context(
            request,
            title=_("Write a broadcast"),
            form=form,
            what=[form[name] for name in ("level", "title", "body", "url")],
            when=[form["at"], form["expires"]],
            reach=reach,
            item=_item(shown) if shown else None,
            asks=asks,
            now=timezone.localtime() if timezone.is_aware(timezone.now()) else timezone.now(),
        )
        return uncached(
            TemplateResponse(request, "admin/notifications/broadcast_form.html", context)
        )

    def _send(
        self, request: HttpRequest, form: BroadcastForm, audience: Audience
    ) -> HttpResponseRedirect:
        title = form.cleaned_data["title"]
        sent = broadcast(
            audience, title, key=form.cleaned_data["key"], **form.content(request.user)
        )
        one = Broadcast.objects.get(pk=sent.pk)
        here = LogEntry.objects.filter(content_type=_content_type(), object_id=str(one.pk))
        if not here.exists():
            self.log_addition(request, one, [{"added": {}}])
            said = _("It will be delivered then.") if form.cleaned_data["at"] else _("It is sent.")
            messages.success(request, said)
        return HttpResponseRedirect(self._page_of(one))

    def _page_of(self, one: Broadcast) -> str:
        name = f"{self.admin_site.name}:notifications_broadcast_change"
        return reverse(name, args=[one.pk])

    # --- What became of it ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        self.let_in(request)
        one = self.get_object(request, unquote(object_id))
        if one is None:
            raise Http404
        if request.method == "POST":
            if "_recall" not in request.POST:
                raise PermissionDenied
            if one.recall():
                self.log_change(request, one, _("Withdrawn."))
                messages.success(request, _("It is withdrawn from every inbox."))
            return HttpResponseRedirect(request.path)
        if one.audience:
            number([one.audience])
        facts = _facts(one)
        if wants_json(request):
            return uncached(JsonResponse({"totals": facts, "state": standing(one)}))
        sender = (
            LogEntry.objects.filter(
                content_type=_content_type(), object_id=str(one.pk), action_flag=ADDITION
            )
            .select_related("user")
            .first()
        )
        context = self.page_context(
            request,
            title=one.title,
            one=one,
            item=_item(one),
            to=audience_name(one),
            state=standing(one),
            totals=facts,
            sender=sender and sender.user,
            created=(iso(one.created), told(one.created)),
            expires=(iso(one.expires), told(one.expires)),
            every=5,
        )
        return uncached(TemplateResponse(request, "admin/notifications/broadcast.html", context))


def _content_type() -> ContentType:
    return ContentType.objects.get_for_model(Broadcast, for_concrete_model=False)


def _item(one: Notification) -> dict[str, Any]:
    """As the inbox shows it to somebody who has not read it."""
    [shown] = render([one], get_language() or conf.language).values()
    return shown | {
        "id": one.pk or 0,
        "created": one.created,
        "expires": one.expires,
        "unread": True,
        "archived": False,
        "stream": one.audience,
        "seq": 0,
    }


def _preview(form: BroadcastForm, reach: Reach | None) -> dict[str, Any]:
    """For the script: whom it reaches, what is wrong, and the row; also of half a form."""
    given = form.cleaned_data
    return {
        "reach": str(reach) if reach else "",
        "errors": {name: list(map(str, errors)) for name, errors in form.errors.items()},
        "row": {
            "id": 0,
            "title": given.get("title", ""),
            "body": given.get("body", ""),
            "url": given.get("url", ""),
            "level": given.get("level", Level.INFO.word),
            "actor": None,
            "created": (given.get("at") or timezone.now()).isoformat(),
            "unread": True,
        },
    }


def _facts(one: Broadcast) -> dict[str, Any]:
    """What became of it, in people."""
    found = result(one)
    labels = {"reached": _("Reached"), "seen": _("Seen"), "read": _("Read")}
    return {
        name: {"label": label, "value": f"{getattr(found, name):,}"}
        for name, label in labels.items()
    }


def audience_name(one: Notification) -> str:
    """A stored audience in words."""
    if one.audience in (BroadcastForm.EVERYONE, BroadcastForm.STAFF):
        return str(dict(BroadcastForm.base_fields["to"].choices)[one.audience])  # type: ignore[attr-defined]
    if one.audience.startswith("group."):
        pk = one.audience.removeprefix("group.")
        group = DjangoGroup.objects.filter(pk=pk).first() if pk.isdecimal() else None
        return _("Group: %s") % (group or pk)
    return _("Chosen people")


def standing(one: Notification) -> str:
    """Where a broadcast stands, in a word or two."""
    now = timezone.now()
    if one.recalled_at:
        return _("Withdrawn")
    if one.created > now:
        return _("Delivered in %s") % timeuntil(one.created, depth=1)
    if one.expires and one.expires <= now:
        return _("Expired")
    return _("Delivered")
