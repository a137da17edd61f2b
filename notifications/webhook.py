"""Alerts from Prometheus: the webhook of Alertmanager, `POST alerts/webhook/`.

    receivers:
      - name: site
        webhook_configs:
          - url: https://shop.example/notifications/alerts/webhook/
            send_resolved: true
            http_config: {authorization: {credentials: the token}}

The token is NOTIFICATIONS["ALERTMANAGER_TOKEN"]; without one there is no such page. One request
is one INSERT: either all of its alerts are taken, or none is and the answer says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .alerts import LABEL_LENGTH, LABELS, Alarm, AllClear, fold_what_waits, tell
from .conf import conf
from .errors import BadFrame, BadNotification
from .models import Alert, Notification
from .notices import checked_url
from .wire import loads

BYTES = 2 * 1024 * 1024
ALERTS = 1_000
"""Alerts in one request at most."""

SEVERITIES = {
    "critical": "critical",
    "page": "critical",
    "emergency": "critical",
    "error": "error",
    "high": "error",
    "major": "error",
    "warning": "warning",
    "warn": "warning",
    "medium": "warning",
    "minor": "warning",
    "info": "info",
    "informational": "info",
    "low": "info",
    "none": "info",
    "debug": "debug",
}
"""What the label `severity` says, as a level; anything else is an error."""


# It comes from a program: it has a token, and no session that another site could make use of.
@transaction.non_atomic_requests
@login_not_required
@csrf_exempt
@never_cache
@require_POST
def alertmanager(request: HttpRequest) -> HttpResponse:
    """Take what Alertmanager tells, in version 4 of its format."""
    if not conf.alertmanager_token:
        raise Http404
    word, _space, token = request.headers.get("Authorization", "").partition(" ")
    good = constant_time_compare(token.strip(), conf.alertmanager_token)
    if word.lower() != "bearer" or not good:
        answer = _refused(401, "token", "expected Authorization: Bearer and the right token.")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    body = request.read(BYTES + 1)
    if len(body) > BYTES:
        return _refused(413, "too_large", f"at most {BYTES} bytes.")
    try:
        said = told(loads(body))
        fold_what_waits()  # of the last time: where no server does it, nobody else may
        tell(said)
    except (BadFrame, BadNotification) as error:
        return _refused(400, error.code, str(error))
    fired = sum(isinstance(one, Alarm) for one in said)
    return JsonResponse({"ok": True, "fired": fired, "resolved": len(said) - fired})


def _refused(status: int, code: str, detail: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "detail": detail}}, status=status)


def told(payload: Mapping[str, Any]) -> list[Alarm | AllClear]:
    """What a payload says, in its order; raises `BadFrame`."""
    if payload.get("version") != "4":
        raise BadFrame(f'version must be "4", not {str(payload.get("version"))[:40]!r}.')
    alerts = payload.get("alerts")
    if not isinstance(alerts, list) or len(alerts) > ALERTS:
        raise BadFrame(f"alerts must be a list of at most {ALERTS}.")
    external = str(payload.get("externalURL") or "")
    return [_one(alert, f"alerts[{index}]", external) for index, alert in enumerate(alerts)]


def _one(alert: object, where: str, external: str) -> Alarm | AllClear:
    if not isinstance(alert, dict):
        raise BadFrame(f"{where} must be an object.")
    labels = _words(alert, "labels", where)
    notes = _words(alert, "annotations", where)
    key = _key(alert.get("fingerprint"), labels, where)
    status = alert.get("status")
    if status == "resolved":
        return AllClear(key)
    if status != "firing":
        raise BadFrame(f"{where}.status must be firing or resolved, not {str(status)[:40]!r}.")
    title = notes.get("summary") or notes.get("title") or labels.get("alertname") or ""
    runbook = _safe(notes.get("runbook_url", ""))
    return Alarm(
        key,
        _cut(" ".join(title.split()), Notification.TITLE_LENGTH) or "Alert",
        body=_cut(notes.get("description") or notes.get("message") or "", Alert.BODY_LENGTH),
        level=SEVERITIES.get(labels.get("severity", "").lower(), "error"),
        source="alertmanager",
        url=_safe(str(alert.get("generatorURL") or "")) or _safe(external),
        labels={
            _cut(name, LABEL_LENGTH): _cut(value, LABEL_LENGTH)
            for name, value in list(labels.items())[: LABELS - 1]
        }
        | ({"runbook_url": runbook} if 0 < len(runbook) <= LABEL_LENGTH else {}),
    )


def _words(alert: Mapping[str, Any], field: str, where: str) -> dict[str, str]:
    words = alert.get(field)
    if words is None:
        return {}
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        raise BadFrame(f"{where}.{field} must be an object of strings.")
    return words


def _key(fingerprint: object, labels: Mapping[str, str], where: str) -> str:
    """Alertmanager tells alerts by their labels, of which the fingerprint is a hash."""
    if fingerprint is None:
        text = json.dumps(labels, sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    if not isinstance(fingerprint, str) or not fingerprint.isalnum() or len(fingerprint) > 64:
        raise BadFrame(f"{where}.fingerprint must be letters and digits.")
    return f"alertmanager-{fingerprint}"


def _cut(text: str, limit: int) -> str:
    text = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _safe(url: str) -> str:
    """The address, if a click may lead there."""
    try:
        return checked_url(url)
    except BadNotification:
        return ""
