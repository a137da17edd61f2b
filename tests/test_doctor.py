"""The doctor finds what is really wrong: each fault is made, and its line is a cross."""

from __future__ import annotations

import json
import subprocess

import pytest
from django.conf import settings as site
from django.test import override_settings
from django.utils import timezone

from notifications.doctor import examine
from notifications.models import Process
from tests.live.process import free_port
from tests.live.server import MANAGE, ROOT, environment

pytestmark = pytest.mark.django_db(transaction=True)

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Five seconds are much on a server, and not on a machine with four tests at once."""
    monkeypatch.setattr("notifications.doctor.PATIENCE", 30.0)


def findings(**options):
    return {finding.name: finding for finding in examine(**options)}


def crosses(**options):
    return {finding.name: finding for finding in examine(**options) if not finding.ok}


def templates(folder, **options):
    return [
        site.TEMPLATES[0] | {"DIRS": [folder], "OPTIONS": site.TEMPLATES[0]["OPTIONS"] | options}
    ]


def layer(backend, url, **more):
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": [url], **more}}}


def test_a_site_that_is_well_has_no_cross():
    with override_settings(DEBUG=True):
        found = findings()
        assert crosses() == {}
    assert "answers in" in found["database"].said
    assert found["migrations"].said == "all applied"
    assert not Process.objects.exists(), "a doctor is no server process"


def test_a_layer_that_works_is_timed(redis):
    for backend in (PUBSUB, CORE):
        with override_settings(
            DEBUG=True, CHANNEL_LAYERS=layer(backend, redis.url, capacity=1_000)
        ):
            assert "carries a bell in" in findings()["layer"].said
            assert crosses() == {}


def test_a_layer_that_is_not_there_is_a_cross():
    with override_settings(CHANNEL_LAYERS=layer(PUBSUB, f"redis://127.0.0.1:{free_port()}")):
        assert crosses()["layer"].remedy == "Start Redis, or mend CHANNEL_LAYERS."


def test_a_layer_that_hangs_is_a_cross(own_redis, monkeypatch):
    monkeypatch.setattr("notifications.doctor.PATIENCE", 0.5)
    with override_settings(CHANNEL_LAYERS=layer(PUBSUB, own_redis.url)), own_redis.frozen():
        assert "does not answer within" in crosses()["layer"].said


def test_several_processes_with_no_layer_between_them_are_a_cross():
    for people in (2, 3):
        Process.objects.create(people=people, sockets=people + 1)
    Process.objects.create(people=9, beat=timezone.now() - timezone.timedelta(minutes=1))
    assert crosses()["processes"].said.startswith("2 running, about 5 people with 7 sockets, and")


@pytest.mark.parametrize(
    ("application", "says"),
    [
        ("http_only", "leads nowhere: Django can only handle ASGI/HTTP"),
        ("unrouted", "leads nowhere: No application configured for scope type 'websocket'"),
        ("elsewhere", "leads nowhere: No route found for path 'ws/notifications/'"),
        ("shadowed", "answered by something else (close code 4999)"),
        ("guarded", "answered by something else (close code None)"),
        ("absent", "Cannot find 'absent'"),
    ],
)
def test_a_socket_that_leads_elsewhere_is_a_cross(application, says):
    origin = "https://elsewhere.example" if application == "guarded" else None
    with override_settings(ASGI_APPLICATION=f"tests.live.wrong.{application}"):
        found = crosses(origin=origin)["socket"]
    assert says in found.said
    assert found.remedy


def test_no_asgi_application_is_a_cross():
    with override_settings(ASGI_APPLICATION=None):
        assert "the bell polls" in crosses()["socket"].said


def test_an_origin_that_is_refused_is_a_cross():
    found = crosses(origin="https://shop.example")["socket"]
    assert found.said == "a page of https://shop.example may not open it"
    with override_settings(
        ALLOWED_HOSTS=["shop.example"], CSRF_TRUSTED_ORIGINS=["https://shop.example"]
    ):
        assert "socket" not in crosses(origin="https://shop.example")
        assert "socket" not in crosses()
    with override_settings(
        ALLOWED_HOSTS=["shop.example"], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")
    ):
        assert "socket" not in crosses(origin="https://shop.example")


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (None, "no template"),
        ("{% block content %}{% endblock %}", "no block head"),
        ("<body>{% block main %}{% endblock %}", "no block head and no block content"),
        ("{% url 'no-such-name' %}{% block content %}{% endblock %}", "NoReverseMatch"),
        ("{% nonsense %}", "nonsense"),
    ],
)
def test_a_base_template_that_lets_nobody_in_is_a_cross(tmp_path, base, says):
    if base is not None:
        (tmp_path / "base.html").write_text(base)
    with override_settings(TEMPLATES=templates(tmp_path)):
        assert says in crosses()["template"].said


def test_tags_that_do_not_know_the_request_are_a_cross():
    with override_settings(TEMPLATES=templates(ROOT / "templates", context_processors=[])):
        assert "(notifications.W008)" in crosses()["settings"].said


def test_static_files_that_were_not_collected_are_a_cross(tmp_path):
    storages = {"staticfiles": {"BACKEND": "project.storage.ModuleManifestStorage"}}
    with override_settings(DEBUG=False, STATIC_ROOT=str(tmp_path), STORAGES=storages):
        assert crosses()["static files"].remedy == "Run manage.py collectstatic."


def test_static_files_that_nobody_finds_are_a_cross():
    from django.contrib.staticfiles.finders import get_finder

    get_finder.cache_clear()
    with override_settings(STATICFILES_FINDERS=[]):
        assert "(notifications.W009)" in crosses()["settings"].said


def test_an_inbox_without_an_address_is_a_cross():
    with override_settings(ROOT_URLCONF="project.demo.urls"):
        assert "(notifications.W007)" in crosses()["settings"].said


def test_daphne_behind_another_runserver_is_a_cross():
    apps = [name for name in site.INSTALLED_APPS if name != "daphne"]
    with override_settings(INSTALLED_APPS=[*apps, "daphne"]):
        assert "(notifications.W006)" in crosses()["settings"].said


def test_a_core_layer_that_drops_is_a_cross(redis):
    with override_settings(CHANNEL_LAYERS=layer(CORE, redis.url)):
        assert "capacity of 100" in crosses()["settings"].said


def test_redis_8_with_the_core_layer_is_a_cross(redis, monkeypatch):
    monkeypatch.setattr("redis.__version__", "8.0.1")
    with override_settings(CHANNEL_LAYERS=layer(CORE, redis.url, capacity=1_000)):
        assert "(notifications.E002)" in crosses()["settings"].said


def test_a_wrong_setting_ends_the_examination():
    with override_settings(NOTIFICATIONS={"HEARTBEET": 7}):
        assert list(findings()) == ["settings"]
        assert 'Did you mean "HEARTBEAT"?' in crosses()["settings"].said


# --- As a command, in a site of its own ---


def doctor(database_url, *arguments, settings=None):
    return subprocess.run(
        [*MANAGE, "notifications_doctor", "--no-color", *arguments],
        cwd=ROOT,
        env=environment(database_url, None, settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_says_what_is_missing_and_ends_with_1(tmp_path):
    done = doctor(f"sqlite:///{tmp_path}/new.sqlite3")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("notifications ")
    files = (ROOT / "notifications" / "migrations").glob("0*.py")
    missing = ", ".join(sorted(file.stem for file in files))
    at = lines.index(f"✗ migrations   not applied: {missing}")
    assert lines[at + 1].strip() == "Run manage.py migrate."
    assert done.stderr.strip().endswith("1 thing to mend.")
    assert "Traceback" not in done.stderr


def test_a_database_that_is_not_there_is_one_cross():
    done = doctor(f"postgres://shop@127.0.0.1:{free_port()}/shop", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    wrong = [one for one in told["findings"] if not one["ok"]]
    assert [one["name"] for one in wrong] == ["database"]
    assert wrong[0]["remedy"] == "Start it, or mend DATABASES."


def test_sqlite_without_a_wal_is_two_crosses(tmp_path):
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "slow.sqlite3")}
    settings = {"DATABASES": {"default": database}}
    done = doctor("sqlite://:memory:", "--json", settings=settings)
    said = " ".join(one["said"] for one in json.loads(done.stdout)["findings"])
    assert "(notifications.W003)" in said
    assert "(notifications.W005)" in said
