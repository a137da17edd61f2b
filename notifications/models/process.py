"""Which server processes run, and how many people each one holds."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.utils import timezone


class ProcessQuerySet(models.QuerySet["Process"]):
    def fresh(self) -> ProcessQuerySet:
        """Those heard of in the last 15 seconds."""
        return self.filter(beat__gte=timezone.now() - timedelta(seconds=15))

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
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return str(self.id)
