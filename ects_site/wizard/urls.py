"""The wizard's addresses. The console, which takes this port over, leads all of them to its own start."""

from django.templatetags.static import static
from django.urls import include, path, register_converter
from django.views.generic import RedirectView

from ects_site.wizard import views
from ects_site.wizard.forms import STEPS


class StepName:
    """A step by its name."""

    regex = "|".join(STEPS)

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    to_url = to_python


register_converter(StepName, "step")

urlpatterns = [
    path("", RedirectView.as_view(url="/setup/")),
    path("healthz", views.healthz),
    path("favicon.ico", RedirectView.as_view(url=static("ects/favicon.svg"))),
    path("setup/", views.home, name="home"),
    path("setup/i18n/", include("django.conf.urls.i18n")),
    path("setup/review/", views.review, name="review"),
    path("setup/begin/", views.begin, name="begin"),
    path("setup/progress/", views.show_progress, name="progress"),
    path("setup/<step:name>/", views.step, name="step"),
]

handler404 = views.not_found
