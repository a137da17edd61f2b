"""The operators' queue: what is wrong (`Alert`), what was done about it (`AlertEvent`), `Mute`."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from .notification import Level, Notification, described, resolve


class State(models.TextChoices):
    """Where an alert stands."""

    FIRING = "firing", _("Firing")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    MUTED = "muted", _("Muted")
    RESOLVED = "resolved", _("Resolved")


class Alert(models.Model):
    """One thing that is wrong, or was. The same key is the same alert, however often it is told.

    Written by the numbering of the stream `alerts`, which folds what was told into it, and by
    operators. All it shows of a person is a name.
    """

    KEY_LENGTH = 200
    SOURCE_LENGTH = 100
    BODY_LENGTH = 10_000
    NOTE_LENGTH = 500
    EXCERPT = 500
    """Of the body, so much travels in an entry; all of it is on the alert's page."""

    key = models.CharField(_("key"), max_length=KEY_LENGTH, unique=True)
    level = models.SmallIntegerField(_("level"), choices=Level.choices, default=Level.ERROR)
    title = models.CharField(_("title"), max_length=Notification.TITLE_LENGTH)
    body = models.TextField(_("text"), blank=True, default="")
    source = models.CharField(_("source"), max_length=SOURCE_LENGTH, blank=True, default="")
    url = models.CharField(_("link"), max_length=Notification.URL_LENGTH, blank=True, default="")
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    target_ref = models.CharField(max_length=Notification.REF_LENGTH, blank=True, default="")
    target_name = models.CharField(
        _("target"), max_length=Notification.NAME_LENGTH, blank=True, default=""
    )
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.FIRING)
    by = models.CharField(_("by"), max_length=Notification.NAME_LENGTH, blank=True, default="")
    """The name of who put it into its state; empty where no person did."""
    changed = models.DateTimeField(_("changed"), default=timezone.now)
    """Since when it is in its state."""
    note = models.CharField(_("reason"), max_length=NOTE_LENGTH, blank=True, default="")
    """Why it is in its state."""
    muted_until = models.DateTimeField(_("muted until"), null=True, blank=True)
    count = models.PositiveBigIntegerField(_("count"), default=0)
    """How often it was told, over all its life."""
    first_seen = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen = models.DateTimeField(_("last seen"), default=timezone.now)
    fired = models.DateTimeField(_("firing since"), default=timezone.now)
    """When it began to fire, the last time that it did."""
    repeats = models.PositiveIntegerField(_("repeats"), default=0)
    """How often operators were reminded of it since then."""
    ttl = models.PositiveIntegerField(null=True, blank=True)
    """Seconds of silence of its source after which it is over; empty: as the settings say."""
    reminded = models.DateTimeField(null=True, editable=False)
    told = models.DateTimeField(null=True, editable=False)
    """When an entry last carried it."""
    told_count = models.PositiveBigIntegerField(default=0, editable=False)
    """The count that it carried."""
    due = models.DateTimeField(null=True, editable=False)
    """When something is to be done about it that nobody asks for, by the database's clock."""

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        default_permissions = ("view", "change")
        ordering = ["-last_seen", "-id"]
        indexes = [
            models.Index(fields=["state", "-last_seen"], name="alert_state"),
            models.Index(fields=["-last_seen", "-id"], name="alert_last_seen"),
            models.Index(fields=["due"], name="alert_due", condition=models.Q(due__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def level_word(self) -> str:
        return Level(self.level).word

    @property
    def target(self) -> models.Model | None:
        """What it is about, fetched; None if there is nothing, or it is gone."""
        return resolve(self.target_ref)

    def as_json(self) -> dict[str, Any]:
        """The alert as clients get it."""
        return {
            "id": self.pk,
            "key": self.key,
            "level": self.level_word,
            "title": self.title,
            "body": self.body[: self.EXCERPT],
            "source": self.source,
            "url": self.url,
            "labels": self.labels,
            "target": described(self.target_name, self.target_ref),
            "state": self.state,
            "by": self.by,
            "changed": self.changed.isoformat(),
            "note": self.note,
            "muted_until": self.muted_until and self.muted_until.isoformat(),
            "count": self.count,
            "first_seen": self.first_seen.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "fired": self.fired.isoformat(),
            "repeats": self.repeats,
        }


class AlertEventQuerySet(models.QuerySet["AlertEvent"]):
    """The trail only grows."""

    def update(self, **changes: Any) -> int:
        raise TypeError("the trail of an alert is not changed")


class AlertEvent(models.Model):
    """One step in the life of an alert. Never changed, and it outlives the people in it."""

    class Kind(models.TextChoices):
        FIRED = "fired", _("Fired")
        REOPENED = "reopened", _("Fired again")
        RAISED = "raised", _("Became worse")
        ACKNOWLEDGED = "acknowledged", _("Acknowledged")
        RESOLVED = "resolved", _("Resolved")
        MUTED = "muted", _("Muted")
        UNMUTED = "unmuted", _("Unmuted")
        REPEATED = "repeated", _("Reminded")
        NOTED = "noted", _("Note")

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(_("what"), max_length=12, choices=Kind.choices)
    at = models.DateTimeField(_("when"), default=timezone.now)
    person = models.ForeignKey(
        conf.user_model,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,  # its row lock deadlocks callers who lock users
        related_name="+",
    )
    by = models.CharField(_("who"), max_length=Notification.NAME_LENGTH, blank=True, default="")
    """The person's name at that time; empty where no person did it."""
    note = models.CharField(_("note"), max_length=Alert.NOTE_LENGTH, blank=True, default="")
    detail = models.JSONField(default=dict, blank=True)
    """What else belongs to it: the level it rose to, until when it is muted."""

    objects = AlertEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event of an alert")
        verbose_name_plural = _("events of alerts")
        default_permissions = ()
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.by}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("the trail of an alert is not changed")
        super().save(*args, **kwargs)

    def as_json(self) -> dict[str, Any]:
        """The event as clients get it."""
        return {"kind": self.kind, "at": self.at.isoformat(), "by": self.by, "note": self.note}


class AlertHour(models.Model):
    """How often an alert was told in one hour."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="hours")
    hour = models.DateTimeField(_("hour"))
    count = models.PositiveBigIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("hour of an alert")
        verbose_name_plural = _("hours of alerts")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["alert", "hour"], name="alert_hour_of_alert")
        ]
        indexes = [models.Index(fields=["hour"], name="alert_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%d %H:00} {self.count}"


class MuteQuerySet(models.QuerySet["Mute"]):
    def active(self) -> MuteQuerySet:
        """Those that hold now."""
        return self.filter(ended=None, until__gt=timezone.now())


class Mute(models.Model):
    """Alerts that ask for nobody until a time: of one key, or with all of some labels."""

    key = models.CharField(_("key"), max_length=Alert.KEY_LENGTH, blank=True, default="")
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    """An alert that has all of these is muted, where there is no key."""
    until = models.DateTimeField(_("until"))
    reason = models.CharField(_("reason"), max_length=Alert.NOTE_LENGTH, blank=True, default="")
    created = models.DateTimeField(_("created"), default=timezone.now)
    ended = models.DateTimeField(_("ended"), null=True, blank=True)
    """When somebody ended it before its time."""
    person = models.ForeignKey(
        conf.user_model,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
    )
    by = models.CharField(_("by"), max_length=Notification.NAME_LENGTH, blank=True, default="")

    objects = MuteQuerySet.as_manager()

    class Meta:
        verbose_name = _("mute")
        verbose_name_plural = _("mutes")
        default_permissions = ()
        indexes = [models.Index(fields=["until"], name="mute_until")]

    def __str__(self) -> str:
        return self.key or ", ".join(f"{name}={value}" for name, value in self.labels.items())

    def covers(self, alert: Alert) -> bool:
        """Whether it is meant for this alert."""
        if self.key:
            return self.key == alert.key
        return bool(self.labels) and self.labels.items() <= alert.labels.items()
