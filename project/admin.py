from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import admin
from django.utils.translation import gettext_lazy as _


class SiteAdmin(admin.AdminSite):
    """The ordinary admin. Its jQuery writes HTML, which Trusted Types would forbid."""

    site_header = site_title = _("Corner shop administration")

    def admin_view(self, view, cacheable=False):
        without_trusted_types = csp_replace({"require-trusted-types-for": None})
        return without_trusted_types(super().admin_view(view, cacheable))

    def each_context(self, request):
        return super().each_context(request) | {"demo": settings.DEBUG}
