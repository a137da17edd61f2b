"""The socket and the site's session: the same login, read-only, and over when it is over."""

from __future__ import annotations

from tests.live import deeds
from tests.live.server import Server, Site
from tests.live.socket import Client

GONE = {4001, 4008}  # login required, logged out


def client_with(server: Server, cookies: dict[str, str]) -> Client:
    return Client(server.ws_url, cookies=cookies, origin=server.url)


def test_a_login_by_the_form_of_the_site_opens_the_socket(site):
    visitor = site.visitor()
    visitor.get("/accounts/login/")
    answer = visitor.post("/accounts/login/", {"username": "ana", "password": deeds.PASSWORD})
    assert answer.status == 302, answer.text[:300]
    with client_with(site.server, visitor.cookies) as ana:
        ana.hello()
        site.call(deeds.send, to="ana", title="Welcome")
        ana.listen_for("Welcome")


def test_a_logout_closes_the_sockets_of_that_session_and_of_no_other(site):
    here, there = site.server.visitor("ana"), site.other_server.visitor("ana")
    with (
        client_with(site.other_server, here.cookies) as leaving,
        client_with(site.server, there.cookies) as staying,
        site.client("jz") as jz,
    ):
        for client in (leaving, staying, jz):
            client.hello()
        here_cookies = dict(here.cookies)
        assert here.post("/accounts/logout/").status == 302
        assert leaving.wait_for_close() == 4008
        site.call(deeds.send, to="ana", title="For who is still in")
        staying.listen_for("For who is still in")
        assert "For who is still in" not in leaving.arrived
        jz.settle()
    with client_with(site.server, here_cookies) as again:
        assert again.wait_for_close() in GONE


def test_an_expired_session_is_refused(site):
    cookies = site.session_of("ana")
    [key] = cookies.values()
    site.call(deeds.expire_session, key=key)
    with client_with(site.server, cookies) as ana:
        assert ana.wait_for_close() in GONE
        assert ana.frames == []


def test_a_deleted_session_is_refused(site):
    cookies = site.session_of("ana")
    [key] = cookies.values()
    site.call(deeds.end_session, key=key)
    with client_with(site.server, cookies) as ana:
        assert ana.wait_for_close() in GONE


def test_a_disabled_account_is_refused(site):
    cookies = site.session_of("ana")
    site.call(deeds.change_user, username="ana", is_active=False)
    with client_with(site.server, cookies) as ana:
        assert ana.wait_for_close() in {4001, 4004}
        assert ana.frames == []


def test_a_new_password_ends_the_sessions_of_the_old_one(site):
    cookies = site.session_of("ana")
    site.call(deeds.change_password, username="ana", password="a new one")
    with client_with(site.server, cookies) as ana:
        assert ana.wait_for_close() in GONE
    with site.client("ana") as ana:
        ana.hello()


def test_opening_a_socket_writes_nothing_to_the_session(site):
    cookies = site.session_of("ana")
    [key] = cookies.values()
    before = site.call(deeds.session_row, key=key)
    with client_with(site.server, cookies) as ana:
        ana.hello()
    assert site.call(deeds.session_row, key=key) == before


def test_a_session_survives_the_rotation_of_the_secret_key(new_site):
    """channels' own get_user deletes the session here; the site's middleware does not."""
    old, new = "the-old-key-" + "o" * 50, "the-new-key-" + "n" * 50
    site: Site = new_site("sqlite", ["runserver"], env={"SECRET_KEY": old})
    cookies = site.session_of("ana")
    [key] = cookies.values()
    with client_with(site.server, cookies) as ana:
        ana.hello()

    rotated: Site = new_site(
        "sqlite",
        ["runserver"],
        database_url=site.database_url,
        move_in=False,
        env={"SECRET_KEY": new},
        settings={"SECRET_KEY_FALLBACKS": [old]},
    )
    with client_with(rotated.server, cookies) as ana:
        ana.hello()
        rotated.call(deeds.send, to="ana", title="Still in")
        ana.listen_for("Still in")
    assert rotated.call(deeds.has_session, key=key)

    forgotten: Site = new_site(
        "sqlite",
        ["runserver"],
        database_url=site.database_url,
        move_in=False,
        env={"SECRET_KEY": new},
    )
    with client_with(forgotten.server, cookies) as ana:
        assert ana.wait_for_close() in GONE
    # Refused, but not destroyed: the socket only reads.
    assert forgotten.call(deeds.has_session, key=key)


def test_an_open_socket_does_not_outlive_its_login_for_long(new_site):
    """Also where no signal tells: a deleted row, a queryset update."""
    # Heartbeats so slow that one may be answered late, while we wait for somebody else.
    limits = {"NOTIFICATIONS": {"SESSION_CHECK": 0.5, "HEARTBEAT": 4.0}}
    site: Site = new_site("sqlite", ["runserver"], settings=limits)
    cookies = {name: site.session_of(name) for name in ("ana", "bo", "dana", "jz")}
    clients = {name: client_with(site.server, cookies[name]) for name in cookies}
    try:
        for client in clients.values():
            client.hello()
        jz = clients.pop("jz")
        [key] = cookies["ana"].values()
        site.call(deeds.end_session, key=key)
        site.call(deeds.change_user, username="bo", is_active=False)
        site.call(deeds.change_password, username="dana", password="a new one")
        for name, client in clients.items():
            assert client.wait_for_close() in {4001, 4004, 4008, 4107}, name
            with client_with(site.server, cookies[name]) as again:
                assert again.wait_for_close() in {4001, 4004}, name
            jz.settle()
        site.call(deeds.send, to="jz", title="For who is still in")
        jz.listen_for("For who is still in")
        jz.close()
    finally:
        for client in clients.values():
            client.close()


def test_a_new_password_closes_the_open_sockets_of_the_old_one_at_once(site):
    with site.client("ana") as ana, site.client("jz") as jz:
        ana.hello()
        jz.hello()
        site.call(deeds.change_password, username="ana", password="a new one")
        assert ana.wait_for_close() in {4001, 4008, 4107}
        jz.settle()


def test_who_becomes_an_operator_hears_of_it_and_who_was_one_hears_no_more(site):
    with site.client("jz") as jz, site.client("dana") as dana, site.client("bo") as bo:
        for client in (jz, dana, bo):
            client.hello()
        assert "staff" not in jz.cursor
        site.call(deeds.save_user, username="jz", is_staff=True)
        jz.listen_until(lambda: "staff" in jz.cursor, "a reset with the stream of operators")
        site.call(deeds.save_user, username="dana", is_staff=False)
        dana.listen_until(lambda: "staff" not in dana.cursor, "a reset without it")
        site.call(deeds.announce, title="To operators", to="staff")
        site.call(deeds.announce, title="To all")
        jz.listen_for("To operators", "To all")
        dana.listen_for("To all")
        bo.listen_for("To all")
        assert "To operators" not in dana.arrived
        assert "To operators" not in bo.arrived
        assert {frame["why"] for frame in jz.resets + dana.resets} == {"audience"}
