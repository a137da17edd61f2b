"""Who hears of alerts and who acts on them, by every transport; jz and eve never do."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from notifications import alert, inbox_of
from notifications.alerts import ACTIONS
from notifications.audiences import streams_of
from notifications.models import Alert, AlertEvent, Entry, Pending
from notifications.stream.names import ALERTS
from notifications.stream.number import number
from notifications.testing import live_client
from tests.live.process import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def permission(codename):
    return Permission.objects.get(content_type__app_label="notifications", codename=codename)


def operator(name, *codenames):
    user = User.objects.create_user(name)
    user.user_permissions.add(*map(permission, codenames or ("view_alert", "change_alert")))
    return user


@pytest.fixture
def dana(transactional_db):
    return operator("dana")


@pytest.fixture
def cy(transactional_db):
    return operator("cy")


@pytest.fixture
def eve(transactional_db):
    """The outsider who is staff, and may do anything else."""
    user = User.objects.create_user("eve", is_staff=True)
    others = Permission.objects.exclude(codename__in=("view_alert", "change_alert"))
    user.user_permissions.set(others)
    return user


def fresh_streams(user):
    return streams_of(User.objects.get(pk=user.pk))


def told(client):
    """The alerts that came over a live client's line, as (key, state)."""
    return [
        (item["alert"]["key"], item["alert"]["state"])
        for frame in client.frames
        if frame["type"] == "items" and frame["stream"] == ALERTS
        for item in frame["items"]
    ]


# --- Who reads the stream ----------------------------------------------------------------


def test_the_permission_decides_and_being_staff_does_not(dana, eve, jz):
    admin = User.objects.create_superuser("admin")
    night = Group.objects.create(name="night shift")
    night.permissions.add(permission("view_alert"))
    member = User.objects.create_user("member")
    member.groups.add(night, Group.objects.create(name="others"))
    gone = User.objects.create_superuser("gone", is_active=False)
    readers = {
        user.username: ALERTS in fresh_streams(user)
        for user in (dana, eve, jz, admin, member, gone)
    }
    assert readers == {
        "dana": True,
        "eve": False,
        "jz": False,
        "admin": True,
        "member": True,
        "gone": False,
    }
    assert len(fresh_streams(member)) == len(set(fresh_streams(member))) == 4


def test_groups_and_the_permission_are_one_statement(dana, editors, django_assert_num_queries):
    dana.groups.add(editors)
    for user in (dana, User.objects.create_user("ana")):
        user = User.objects.get(pk=user.pk)
        with django_assert_num_queries(1):
            streams_of(user)


class Everybody(ModelBackend):
    """A backend of a project that has its own mind about permissions."""

    def has_perm(self, user_obj, perm, obj=None):
        return perm == "notifications.view_alert" and user_obj.username == "jz"


def test_a_backend_of_the_project_is_asked_in_its_own_way(jz, ana, dana, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.{Everybody.__qualname__}"]
    assert ALERTS in fresh_streams(jz)
    assert ALERTS not in fresh_streams(ana)
    assert ALERTS not in fresh_streams(dana)


def test_operators_hear_an_alert_and_outsiders_get_no_frame_of_it(dana, cy, eve, jz):
    with ExitStack() as stack:
        clients = {
            user.username: stack.enter_context(live_client(user)) for user in (dana, cy, eve, jz)
        }
        alert("payments-down", "Gateway timeouts", level="critical")
        for name in ("dana", "cy"):
            clients[name].wait_until(lambda name=name: told(clients[name]), "the alert")
        for client in clients.values():
            client.settle()
        assert {name: told(client) for name, client in clients.items()} == {
            "dana": [("payments-down", "firing")],
            "cy": [("payments-down", "firing")],
            "eve": [],
            "jz": [],
        }
        for name in ("eve", "jz"):
            assert "payments" not in json.dumps(clients[name].frames)
            assert all(ALERTS not in frame.get("cursor", {}) for frame in clients[name].frames)


@pytest.mark.parametrize("path", ["poll", "list"])
def test_outsiders_get_nothing_over_http(dana, eve, jz, path):
    cursor = str(inbox_of(dana).counts().at)
    alert("payments-down", "Gateway timeouts")
    number([ALERTS])
    seen = {}
    for user in (dana, eve, jz):
        client = Client()
        client.force_login(user)
        mine = cursor if user is dana else f"{inbox_of(user).counts().at};alerts=0"
        answer = client.get(f"/notifications/{path}/", {"cursor": mine})
        seen[user.username] = "payments" in answer.content.decode()
    assert seen == {"dana": path == "poll", "eve": False, "jz": False}


def test_an_alert_is_folded_when_no_operator_is_connected(jz):
    with live_client(jz):
        alert("payments-down", "Gateway timeouts")
        wait_until(Alert.objects.exists, "the server's sweep has folded it")
    assert Alert.objects.get().count == 1
    assert not Pending.objects.filter(stream=ALERTS).exists()


# --- The permission comes and goes -------------------------------------------------------


def by_itself(user):
    return user.user_permissions.add, user.user_permissions.remove, [permission("view_alert")]


def through_a_group(user):
    night = Group.objects.create(name="night shift")
    user.groups.add(night)
    return night.permissions.add, night.permissions.remove, [permission("view_alert")]


def by_joining(user):
    night = Group.objects.create(name="night shift")
    night.permissions.add(permission("view_alert"))
    return user.groups.add, user.groups.remove, [night]


def until_the_group_is_deleted(user):
    night = Group.objects.create(name="night shift")
    night.permissions.add(permission("view_alert"))
    return user.groups.add, lambda group: group.delete(), [night]


def from_the_other_side(user):
    view = permission("view_alert")
    return view.user_set.add, view.user_set.remove, [user]


def as_superuser(user):
    def become(is_superuser):
        user.is_superuser = is_superuser
        user.save()

    return lambda: become(True), lambda: become(False), []


def cleared(user):
    view = permission("view_alert")
    return user.user_permissions.add, lambda _view: user.user_permissions.clear(), [view]


@pytest.mark.parametrize(
    "way",
    [
        by_itself,
        through_a_group,
        by_joining,
        until_the_group_is_deleted,
        from_the_other_side,
        as_superuser,
        cleared,
    ],
)
def test_an_open_socket_follows_the_permission(jz, way):
    give, take, what = way(jz)
    with live_client(jz) as client:
        alert("before", "Not for jz")
        number([ALERTS])
        give(*what)
        client.wait_until(lambda: ALERTS in client.cursor, "the stream")
        assert [frame["why"] for frame in client.frames if frame["type"] == "reset"] == ["audience"]
        alert("meanwhile", "For jz too")
        client.wait_until(lambda: ("meanwhile", "firing") in told(client), "the alert")
        take(*what)
        client.wait_until(lambda: ALERTS not in client.cursor, "to be without it")
        alert("after", "Not for jz")
        number([ALERTS])
        client.settle()
        assert told(client) == [("meanwhile", "firing")]


def test_another_permission_rings_nobody(jz, eve):
    before = Pending.objects.count() + Entry.objects.count()
    jz.user_permissions.add(permission("broadcast"))
    jz.user_permissions.clear()
    assert Pending.objects.count() + Entry.objects.count() == before


# --- Acting ------------------------------------------------------------------------------


def test_two_operators_see_each_other_and_the_second_is_told_who(dana, cy):
    with live_client(dana) as danas, live_client(cy) as cys:
        alert("payments-down", "Gateway timeouts", level="critical")
        cys.wait_until(lambda: told(cys), "the alert")
        id = Alert.objects.get().pk
        done = danas.do("ack_alert", ids=[id], note="mine")
        assert done["ok"], done
        cys.wait_until(lambda: ("payments-down", "acknowledged") in told(cys), "dana's act")
        [last] = [frame for frame in cys.frames if frame["type"] == "items"][-1]["items"]
        assert (last["alert"]["by"], last["alert"]["note"]) == ("dana", "mine")
        assert last["event"] | {"at": ""} == {
            "kind": "acknowledged",
            "at": "",
            "by": "dana",
            "note": "mine",
        }
        done = cys.do("ack_alert", ids=[id])
        assert done["error"] == {
            "code": "already",
            "detail": "it is acknowledged already by dana.",
        }
        assert cys.do("mute_alert", ids=[id], minutes=30, note="enough")["ok"]
        danas.wait_until(lambda: ("payments-down", "muted") in told(danas), "cy's act")
        assert cys.do("unmute_alert", ids=[id])["ok"]
        assert cys.do("note_alert", ids=[id], note="see the wiki")["ok"]
        assert cys.do("resolve_alert", ids=[id], note="it was the cache")["ok"]
        danas.wait_until(lambda: ("payments-down", "resolved") in told(danas), "cy's act")
        kinds = ["fired", "acknowledged", "muted", "unmuted", "noted", "resolved"]
        assert [event.kind for event in AlertEvent.objects.all()] == kinds
        assert (danas.unread, cys.unread) == (0, 0)


def test_who_may_not_change_alerts_changes_none(eve, jz, subtests):
    viewer = operator("viewer", "view_alert")
    alert("payments-down", "Gateway timeouts")
    number([ALERTS])
    id = Alert.objects.get().pk
    for user in (viewer, eve, jz):
        client = Client()
        client.force_login(user)
        with live_client(user) as line:
            for action in ACTIONS:
                with subtests.test(f"{user} {action}"):
                    body = {"action": action, "ids": [id], "minutes": 5, "note": "x"}
                    answer = client.post("/notifications/do/", body, "application/json")
                    assert answer.status_code == 403
                    assert answer.json()["error"]["code"] == "forbidden"
                    body["ids"] += [10**9]
                    assert line.do(**body)["error"]["code"] == "forbidden"
    assert Alert.objects.get().state == "firing"
    assert [event.kind for event in AlertEvent.objects.all()] == ["fired"]


def test_a_permission_that_was_taken_is_gone_for_the_next_click(dana):
    alert("payments-down", "Gateway timeouts")
    number([ALERTS])
    id = Alert.objects.get().pk
    with live_client(dana) as client:
        dana.user_permissions.remove(permission("change_alert"))
        assert client.do("ack_alert", ids=[id])["error"]["code"] == "forbidden"


def test_acts_over_http_say_the_same(dana, cy):
    alert("payments-down", "Gateway timeouts")
    number([ALERTS])
    id = Alert.objects.get().pk
    clients = [Client(), Client()]
    for client, user in zip(clients, (dana, cy), strict=True):
        client.force_login(user)

    def do(client, **body):
        answer = client.post("/notifications/do/", body, "application/json")
        return answer.status_code, answer.json().get("error", {}).get("code")

    assert do(clients[0], action="ack_alert", ids=[id]) == (200, None)
    assert do(clients[1], action="ack_alert", ids=[id]) == (409, "already")
    assert do(clients[1], action="ack_alert", ids=[10**9]) == (404, "unknown_alert")
    assert Alert.objects.get().by == "dana"


def test_an_act_over_http_needs_the_token(dana):
    alert("payments-down", "Gateway timeouts")
    number([ALERTS])
    client = Client(enforce_csrf_checks=True)
    client.force_login(dana)
    body = {"action": "ack_alert", "ids": [Alert.objects.get().pk]}
    assert client.post("/notifications/do/", body, "application/json").status_code == 403
    assert Alert.objects.get().state == "firing"


TOO_LITTLE = [
    ({"ids": None}, "needs ids"),
    ({"ids": []}, "needs ids"),
    ({"minutes": None}, "needs minutes"),
    ({"note": "n" * 501}, "note is 501"),
    ({"note": "\x00"}, "without NUL"),
    ({"action": "ack_alerts"}, 'Did you mean "ack_alert"'),
]


def test_an_act_that_says_too_little_is_refused(dana, subtests):
    alert("payments-down", "Gateway timeouts")
    number([ALERTS])
    body = {"action": "mute_alert", "ids": [Alert.objects.get().pk], "minutes": 5}
    with live_client(dana) as client:
        for wrong, said in TOO_LITTLE:
            with subtests.test(said):
                assert said in client.do(**(body | wrong))["error"]["detail"]
    assert Alert.objects.get().state == "firing"


def test_an_act_that_is_no_frame_of_ours_is_refused(dana, subtests):
    client = Client()
    client.force_login(dana)
    body = {"action": "mute_alert", "ids": [1], "minutes": 5}
    for wrong in [{"minutes": 0}, {"minutes": True}, {"minutes": 10**9}, {"note": 1}]:
        with subtests.test(str(wrong)):
            answer = client.post("/notifications/do/", body | wrong, "application/json")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_frame")
