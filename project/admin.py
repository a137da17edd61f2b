from csp.decorators import csp, csp_replace
from django.conf import settings
from django.contrib import admin
from django.utils.translation import gettext_lazy as _


class SiteAdmin(admin.AdminSite):
    """The ordinary admin. Its jQuery writes HTML, which Trusted Types would forbid: so there the
    browser only tells of it. The tests read that, and let nothing pass but Django's own."""

    site_header = site_title = _("Corner shop administration")

    def admin_view(self, view, cacheable=False):
        name = "require-trusted-types-for"
        not_enforced = csp_replace({name: None})
        told = csp({name: ["'script'"]}, REPORT_ONLY=True)
        return told(not_enforced(super().admin_view(view, cacheable)))

    def each_context(self, request):
        return super().each_context(request) | {"demo": settings.DEBUG}
