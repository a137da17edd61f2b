"""The site's addresses, and one at which a view breaks in the middle of its work."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from project.urls import urlpatterns as site


@transaction.atomic
def breaking(request: HttpRequest, number: int) -> HttpResponse:
    from django.contrib.auth import get_user_model

    get_user_model().objects.filter(username="ana").update(first_name="half done")
    raise LookupError(f"order {number} is gone")


urlpatterns = [*site, path("breaking/<int:number>/", breaking)]
