from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "ects_site"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from ects_site import encryption

        connection_created.connect(encryption.refuse_plain)
