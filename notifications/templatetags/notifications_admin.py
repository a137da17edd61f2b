"""What the header of the admin needs beside the bell: {% critical_alerts %}, for operators."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context
from django.urls import NoReverseMatch, reverse

from ..admin.alerts import AlertAdmin, critical
from ..models import Level, State

register = template.Library()


@register.inclusion_tag("admin/notifications/strip.html", takes_context=True)
def critical_alerts(context: Context) -> dict[str, Any]:
    """The strip that says that critical alerts wait; nothing for who may not see alerts."""
    request = context.get("request")
    if request is None or not request.user.has_perm(AlertAdmin.needs):
        return {}
    site = getattr(request, "current_app", None) or "admin"
    try:
        url = reverse("admin:notifications_alert_critical", current_app=site)
        queue = reverse("admin:notifications_alert_changelist", current_app=site)
    except NoReverseMatch:  # a site of the project's own that has not taken our pages
        return {}
    return {
        **critical(request),
        "is_operator": True,
        "url": url,
        "queue": f"{queue}?state={State.FIRING}&level__exact={Level.CRITICAL.value}",
        "csrf_token": context.get("csrf_token"),
        "next": request.get_full_path(),
    }
