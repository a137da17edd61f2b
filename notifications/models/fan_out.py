"""Lists of people too long for one transaction: who is still to be told."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from .notification import Notification
from .stream import Op


class FanOut(models.Model):
    """One notification on its way to many people; gone when all of them have it.

    Without a notification it is a draft: the list is being written down, and nobody is told
    before all of it is. A recall goes by the receipts, and has no parts.
    """

    notification = models.ForeignKey(
        Notification, null=True, on_delete=models.CASCADE, related_name="fan_outs"
    )
    op = models.CharField(max_length=12, choices=Op.choices, default=Op.CREATED)
    due = models.DateTimeField(null=True)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    """Of a recall: the key of the last person who was told."""
    touched = models.DateTimeField(default=timezone.now)
    """When a part of it was told last: so that a short list does not wait for a long one."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.notification_id} {self.op}"


class Part(models.Model):
    """Some people of a list, by their keys. Deleted by the transaction that tells them."""

    fan_out = models.ForeignKey(FanOut, on_delete=models.CASCADE, related_name="parts")
    people = models.JSONField(encoder=DjangoJSONEncoder)
    size = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.size} of {self.fan_out_id}"
