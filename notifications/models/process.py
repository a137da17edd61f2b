"""Which server processes run, who is connected to each, and how each has fared lately."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import conf

FRESH = timedelta(seconds=15)
"""A process that was not heard of for so long is taken for gone."""


class ProcessQuerySet(models.QuerySet["Process"]):
    def fresh(self) -> ProcessQuerySet:
        """Those heard of in the last 15 seconds."""
        return self.filter(beat__gte=timezone.now() - FRESH)

    def online(self) -> tuple[int, int]:
        """About how many people and sockets are connected now."""
        sums = self.fresh().aggregate(people=models.Sum("people"), sockets=models.Sum("sockets"))
        return sums["people"] or 0, sums["sockets"] or 0


class Process(models.Model):
    """One hub's row, written every few seconds. A person in two processes counts twice."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    started = models.DateTimeField(default=timezone.now)
    beat = models.DateTimeField(default=timezone.now)
    people = models.PositiveIntegerField(default=0)
    sockets = models.PositiveIntegerField(default=0)

    objects = ProcessQuerySet.as_manager()

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.id)[:8]


class Transport(models.TextChoices):
    """How somebody is connected."""

    WEBSOCKET = "websocket", _("WebSocket")
    EVENTS = "events", _("Event stream")
    POLL = "poll", _("Poll")


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def fresh(self) -> ConnectionQuerySet:
        """Those of processes heard of in the last 15 seconds."""
        return self.filter(process__beat__gte=timezone.now() - FRESH)


class Connection(models.Model):
    """A person's sockets of one transport in one process, told by the process every few seconds.

    Only what changed is written, and of what goes on, a bounded number in each round: so `heard`
    is exact on a small site, and some minutes old at most on one with thousands of people.
    """

    process = models.ForeignKey(
        Process, on_delete=models.CASCADE, related_name="connections", verbose_name=_("process")
    )
    person = models.ForeignKey(
        conf.user_model,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="+",
        verbose_name=_("person"),
    )
    transport = models.CharField(_("transport"), max_length=10, choices=Transport.choices)
    version = models.CharField(_("protocol"), max_length=40, blank=True, default="")
    sockets = models.PositiveIntegerField(_("sockets"))
    tabs = models.PositiveIntegerField(_("tabs"))
    """Windows that share these sockets, as their leader told at its last heartbeat."""
    since = models.DateTimeField(_("since"))
    heard = models.DateTimeField(_("last heartbeat"))

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connected people")
        default_permissions = ("view", "change")
        constraints = [
            models.UniqueConstraint(
                fields=["process", "person", "transport"], name="connection_of_person"
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} ({self.get_transport_display()})"


class Sample(models.Model):
    """How one process fared in one minute. Kept for two hours."""

    KEPT = timedelta(hours=2)

    process = models.ForeignKey(Process, on_delete=models.CASCADE, related_name="samples")
    minute = models.DateTimeField()
    sockets = models.PositiveIntegerField(default=0)
    pushes = models.PositiveIntegerField(default=0)
    latency = models.JSONField(default=list)
    """Pushes that took up to each of `stream.timing.BOUNDS`, from stored to written."""
    layer_ms = models.FloatField(null=True)
    """A bell to itself, through the layer; empty where no layer is, or it does not answer."""
    backlog = models.PositiveIntegerField(default=0)
    """The most sockets that were behind, and streams that waited to be read, at one moment."""
    failures = models.PositiveIntegerField(default=0)
    """Of the database, of the layer, bells that were not sent, and whatever else went wrong."""
    reconnects = models.PositiveIntegerField(default=0)
    dropped = models.PositiveIntegerField(default=0)
    """Sockets refused for want of room, or closed since they did not keep up."""

    class Meta:
        verbose_name = _("sample")
        verbose_name_plural = _("samples")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["process", "minute"], name="sample_process_minute")
        ]
        indexes = [models.Index(fields=["minute"], name="sample_minute")]

    def __str__(self) -> str:
        return f"{self.process} {self.minute:%H:%M}"


class Health(Sample):
    """All samples together, as the page "Delivery" of the admin shows them."""

    class Meta:
        proxy = True
        verbose_name = _("delivery")
        verbose_name_plural = _("delivery")
        default_permissions = ()
