"""Settings and system checks: what is set up wrongly is said at start, with its remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from notifications.conf import Conf, conf
from notifications.errors import ConfigurationError

pytestmark = pytest.mark.django_db


def ids(**more):
    return {check.id for check in run_checks(tags=["notifications"], **more)}


def test_a_setting_is_read_anew_when_a_test_changes_it():
    with override_settings(NOTIFICATIONS={"HEARTBEAT": 7}):
        assert conf.heartbeat == 7
    assert conf.heartbeat == Conf.heartbeat


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"HEARTBEET": 7}, 'Did you mean "HEARTBEAT"?'),
        ({"HEARTBEAT": "7"}, "must be a number"),
        ({"HEARTBEAT": -1}, "not negative"),
        ({"HEARTBEAT": True}, "must be a number"),
        ({"WINDOW": 1.5}, "must be a number"),
        ({"CHANNEL_LAYER": 1}, "must be a string"),
        ([], "must be a dict"),
    ],
)
def test_a_wrong_setting_is_an_error_with_a_hint(given, says):
    with pytest.raises(ConfigurationError) as caught:
        Conf.load(given)
    assert says in str(caught.value)
    with override_settings(NOTIFICATIONS=given):
        assert "notifications.E001" in ids()


def test_a_missing_channel_layer_is_a_warning():
    assert "notifications.W001" not in ids()
    with override_settings(NOTIFICATIONS={"CHANNEL_LAYER": "elsewhere"}):
        assert "notifications.W001" in ids()


def test_redis_8_with_the_core_layer_is_an_error(monkeypatch):
    layers = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}
    with override_settings(CHANNEL_LAYERS=layers):
        assert "notifications.E002" not in ids()
        monkeypatch.setattr("redis.__version__", "8.1.0")
        assert "notifications.E002" in ids()


def test_an_in_memory_layer_in_production_is_a_warning():
    assert "notifications.W002" in ids(include_deployment_checks=True)
    layers = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}
    with override_settings(CHANNEL_LAYERS=layers):
        assert "notifications.W002" not in ids(include_deployment_checks=True)


def test_an_admin_that_comes_first_has_no_bell_and_that_is_said():
    assert "notifications.I001" not in ids()
    apps = [name for name in settings.INSTALLED_APPS if name != "notifications"]
    with override_settings(INSTALLED_APPS=[*apps, "notifications"]):
        assert "notifications.I001" in ids()


def test_the_package_can_be_imported_before_django_is_ready():
    code = "import notifications; print(sorted(notifications.__all__)[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Alarm", done.stderr
    code = (
        "import django; from django.conf import settings; "
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'project.settings'; django.setup(); "
        "import notifications.notify; from notifications import notify; assert callable(notify)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
