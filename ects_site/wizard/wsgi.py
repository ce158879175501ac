"""The WSGI entry point of the wizard, served by one gunicorn process."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "ects_site.wizard.settings"

from django.core.wsgi import get_wsgi_application

from ects_site.wizard import wire_home

application = get_wsgi_application()
wire_home.say(wire_home.STARTED)
