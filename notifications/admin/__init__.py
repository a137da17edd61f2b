"""The operators' pages in the Django admin. The stock site has them by itself; a site of your own
takes them so:

    from notifications.admin import register

    register(my_site)
"""

from __future__ import annotations

from django.contrib import admin

from ..models import Alert, Broadcast, Connection, Health
from .alerts import AlertAdmin
from .broadcasts import BroadcastAdmin
from .connections import ConnectionAdmin
from .delivery import HealthAdmin

PAGES: dict[type, type[admin.ModelAdmin]] = {
    Alert: AlertAdmin,
    Broadcast: BroadcastAdmin,
    Connection: ConnectionAdmin,
    Health: HealthAdmin,
}


def register(site: admin.AdminSite) -> None:
    """Add the operators' pages to an admin site that has not got them."""
    for model, page in PAGES.items():
        if not site.is_registered(model):
            site.register(model, page)


register(admin.site)

__all__ = ["register"]
