from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """Loads the `notices` module of every app: that is where kinds and rules live."""

    name = "notifications"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import alerts, checks  # noqa: F401  # alerts: what folds their stream
        from .audiences import watch_people
        from .logins import watch_logins

        watch_people()
        watch_logins()
        autodiscover_modules("notices")
