"""The WSGI entry point that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

from coordination import logformat

logformat.identify(process="web")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ects_site.settings")
application = get_wsgi_application()
