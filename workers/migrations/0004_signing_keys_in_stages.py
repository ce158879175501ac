from django.db import migrations, models
from django.db.models import F


def the_newest_signs(apps, schema_editor):
    """As it was: of all keys the newest signed, the others still counted."""
    apps.get_model("workers", "SigningKey").objects.update(signs_since=F("created_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('workers', '0003_online_spans'),
    ]

    operations = [
        migrations.AddField(model_name='node', name='trusted_keys', field=models.JSONField(editable=False, null=True)),
        migrations.AddField(model_name='signingkey', name='signs_since', field=models.DateTimeField(null=True)),
        migrations.AddField(model_name='signingkey', name='retired_at', field=models.DateTimeField(null=True)),
        migrations.RunPython(the_newest_signs, migrations.RunPython.noop),
    ]
