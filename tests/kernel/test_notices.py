"""Kinds: checked when built, stored by their fields, rendered in the reader's language."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications import Everyone, Notice, inbox_of, notify
from notifications.errors import BadField, ConfigurationError, UnsafeURL
from notifications.models import Notification
from notifications.notices import render

pytestmark = pytest.mark.django_db(transaction=True)


class Renamed(Notice):
    user: User
    group: Group | None = None
    note: str = ""
    level = "warning"
    select_related = {}

    def recipients(self):
        return self.user

    def title(self):
        return _("Yes") + f", {self.group.name if self.group else '-'}"

    def body(self):
        return gettext_lazy("No")

    def url(self):
        return f"/people/{self.user.pk}/"

    def data(self):
        return {"note": self.note}


class Everything(Notice):
    flag: bool
    number: int
    ratio: float
    price: Decimal
    day: date
    hour: time
    moment: datetime
    uuid: UUID
    people: list[User]
    nothing: str | None

    def title(self):
        return "Everything"

    def body(self):
        people = [user.username for user in self.people]
        rest = [getattr(self, name) for name in self.field_types() if name != "people"]
        return repr([people, *rest])


def rendered(language="en"):
    return list(render(Notification.objects.order_by("id"), language).values())


def test_a_notice_says_everything_about_itself(ana, jz, editors, titles):
    sent = notify(Renamed(user=ana, group=editors, note="x"))
    assert (sent.kind, sent.level_word, sent.data) == ("renamed", "warning", {"note": "x"})
    assert titles(ana) == ["Yes, editors"]
    assert titles(jz) == []


def test_it_is_rendered_in_the_language_of_who_reads(ana, editors):
    with translation.override("ar"):
        notify(Renamed(user=ana, group=editors))
    assert Notification.objects.get().title == "Yes, editors"  # stored in the site's language
    assert [(one["title"], one["body"]) for one in rendered("de")] == [("Ja, editors", "Nein")]
    assert [one["title"] for one in rendered("xx")] == ["Yes, editors"]
    with translation.override("de"):
        (item,) = inbox_of(ana).page().items
    assert (item.title, item.lang) == ("Ja, editors", "de")


def test_every_type_of_field_comes_back_as_it_was(ana, bo):
    fields = {
        "flag": True,
        "number": 7,
        "ratio": 1,
        "price": Decimal("1.50"),
        "day": date(2026, 11, 22),
        "hour": time(22, 0),
        "moment": datetime(2026, 11, 22, 22, tzinfo=UTC),
        "uuid": UUID(int=7),
        "people": [ana, bo],
        "nothing": None,
    }
    notice = Everything(**fields)
    notice.recipients = lambda: ana
    sent = notify(notice)
    Notification.objects.update(body="not rendered")
    assert [one["body"] for one in rendered()] == [sent.body]


def test_a_list_of_notices_costs_one_query_for_each_model(ana, editors, django_assert_num_queries):
    sent = [notify(Renamed(user=ana, group=editors)) for _ in range(20)]
    with django_assert_num_queries(2):
        assert len(render(sent, "en")) == 20


def test_when_what_it_speaks_of_is_gone_the_stored_words_stand_in(ana, editors):
    notify(Renamed(user=ana, group=editors))
    editors.delete()
    assert [one["title"] for one in rendered("de")] == ["Yes, editors"]


def test_a_kind_that_raises_when_read_stops_nobodys_inbox(ana, editors, monkeypatch, caplog):
    notify(Renamed(user=ana, group=editors))
    notify(ana, "Fine")
    monkeypatch.setattr(Renamed, "title", lambda self: 1 / 0)
    assert [one["title"] for one in rendered()] == ["Yes, editors", "Fine"]
    monkeypatch.setattr(Renamed, "url", lambda self: "javascript:alert(1)")
    assert [one["url"] for one in rendered()] == [f"/people/{ana.pk}/", ""]
    assert "cannot be rendered" in caplog.text


def test_an_unknown_kind_reads_as_it_was_stored(ana):
    Notification.objects.create(kind="from_an_old_release", title="Still here")
    assert [one["title"] for one in rendered()] == ["Still here"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "user must be given"),
        ({"user": "ana"}, "user must be User, not 'ana'"),
        ({"user": User()}, "saved before"),
        ({"user": ..., "group": 7}, "group must be Group or NoneType"),
        ({"user": ..., "note": None}, "note must be str"),
        ({"user": ..., "nte": "x"}, "nte must be one of the fields of Renamed"),
    ],
)
def test_fields_are_checked_when_a_notice_is_built(ana, fields, says):
    fields = {name: ana if value is ... else value for name, value in fields.items()}
    with pytest.raises(BadField, match=says):
        Renamed(**fields)


def test_a_notice_takes_no_other_argument(ana):
    with pytest.raises(BadField, match="the only argument"):
        notify(Renamed(user=ana), "A title")
    with pytest.raises(BadField, match="the only argument"):
        notify(Renamed(user=ana), level="error")


def test_an_unsafe_url_of_a_notice_is_refused(ana, monkeypatch):
    monkeypatch.setattr(Renamed, "url", lambda self: "javascript:alert(1)")
    with pytest.raises(UnsafeURL):
        notify(Renamed(user=ana))
    assert not Notification.objects.exists()


def test_a_notice_may_go_to_an_audience_and_have_a_key(ana, bo, titles):
    class Once(Notice):
        def recipients(self):
            return Everyone()

        def title(self):
            return "Once"

        def key(self):
            return "once"

    assert notify(Once()) == notify(Once())
    assert titles(ana) == titles(bo) == ["Once"]


def test_two_kinds_of_one_name_are_refused_at_start():
    with pytest.raises(ConfigurationError, match="two notices are of the kind 'renamed'"):
        type("Renamed", (Notice,), {"__module__": "elsewhere"})
