"""What the shop tells people, and when."""

from django.utils.translation import gettext as _

from notifications import Notice, Staff, notify_on

from .models import Comment, Order


class OrderReceived(Notice):
    order: Order

    def recipients(self):
        return self.order.buyer

    def title(self):
        return _("Order %(n)s received") % {"n": self.order.number}

    def url(self):
        return self.order.get_absolute_url()


class OrderMoved(OrderReceived):
    status: str

    def title(self):
        status = Order.Status(self.status).label
        return _("Order %(n)s is now: %(status)s") % {"n": self.order.number, "status": status}


class NewOrder(OrderReceived):
    select_related = {"order": ("buyer",)}

    def recipients(self):
        return Staff()

    def title(self):
        return _("New order from %(buyer)s") % {"buyer": self.order.buyer}


class NewComment(Notice):
    comment: Comment
    select_related = {"comment": ("author", "order")}

    def recipients(self):
        return self.comment.order.people() - {self.comment.author}

    def title(self):
        author, order = self.comment.author, self.comment.order
        return _("%(who)s wrote about order %(n)s") % {"who": author, "n": order.number}

    def body(self):
        return self.comment.text

    def url(self):
        return self.comment.get_absolute_url()


@notify_on(Order, created=True)
def order_placed(order, changed):
    return OrderReceived(order=order), NewOrder(order=order)


@notify_on(Order, created=False, fields=["status"])
def order_moved(order, changed):
    return OrderMoved(order=order, status=order.status)


@notify_on(Comment, created=True)
def comment_written(comment, changed):
    return NewComment(comment=comment)
