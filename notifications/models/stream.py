"""The log: ordered streams, the rows that wait for a number, and the rows that have one."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from ..conf import conf
from .notification import Notification


class Op(models.TextChoices):
    """What an entry says happened."""

    CREATED = "created"
    SEEN = "seen"
    READ = "read"
    UNREAD = "unread"
    ARCHIVED = "archived"
    UNARCHIVED = "unarchived"
    READ_ALL = "read_all"
    RECALLED = "recalled"
    UPDATED = "updated"
    ALERT = "alert"
    ACCESS = "access"
    """The person's account or audiences changed, or a session ended: for hubs, not for clients."""


class Stream(models.Model):
    """One ordered log. Every number from `floor` + 1 to `head` is an entry, with no gap.

    The row named `epoch` is no stream: its head is the random number that names this history
    of the database, kept here so that one SELECT takes it together with the heads.
    """

    EPOCH = "epoch"

    name = models.CharField(max_length=100, primary_key=True)
    head = models.BigIntegerField(default=0)
    floor = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Pending(models.Model):
    """A committed fact that has no number yet. Publishers insert; whoever reads numbers it."""

    stream = models.CharField(max_length=100)
    op = models.CharField(max_length=12, choices=Op.choices)
    notification = models.ForeignKey(
        Notification,
        null=True,
        on_delete=models.DO_NOTHING,  # one that is gone takes a number, and says nothing
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    person = models.ForeignKey(
        conf.user_model,
        null=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    """Whose receipt takes the number; empty in a shared stream."""
    arg = models.JSONField(null=True)
    created = models.DateTimeField(default=timezone.now)
    due = models.DateTimeField(null=True)
    """Not numbered before this time, by the database's clock."""

    class Meta:
        indexes = [
            models.Index(fields=["stream"], name="pending_stream"),
            models.Index(fields=["due"], name="pending_due", condition=models.Q(due__isnull=False)),
            models.Index(
                fields=["stream"], name="pending_shared", condition=models.Q(person__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.op}"


class Entry(models.Model):
    """A numbered fact. An event log, not the truth of the inbox: old entries are pruned."""

    pk = models.CompositePrimaryKey("stream", "seq")
    stream = models.CharField(max_length=100)
    seq = models.BigIntegerField()
    op = models.CharField(max_length=12, choices=Op.choices)
    notification = models.ForeignKey(
        Notification,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,  # an entry outlives its notification, and reads as nothing then
        db_index=False,
        related_name="+",
    )
    arg = models.JSONField(null=True)
    created = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created"], name="entry_created")]  # pruning

    def __str__(self) -> str:
        return f"{self.stream} {self.seq} {self.op}"


class Posting(models.Model):
    """The place of a notification in a shared stream. It lives as long as the notification."""

    notification = models.OneToOneField(
        Notification, primary_key=True, on_delete=models.CASCADE, related_name="posting"
    )
    stream = models.CharField(max_length=100)
    seq = models.BigIntegerField()
    created = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stream", "seq"], name="posting_stream_seq")]
        indexes = [models.Index(fields=["stream", "-created"], name="posting_inbox")]

    def __str__(self) -> str:
        return f"{self.stream} {self.seq}"
