from uuid import UUID

from django.db import migrations, models
from django.db.models import Max, Min, Sum

EVERY = UUID(int=0)
KEY = ('span', 'begins_at', 'node')
EXTREMES = {'duration_min': Min, 'duration_max': Max}


def sum_up(apps, schema_editor):
    """The rows of the nil pipeline, from those that are there."""
    Rollup = apps.get_model('logs', 'Rollup')
    names = [field.name for field in Rollup._meta.fields if field.name not in ('pk', 'pipeline', *KEY)]
    sums = {f'{name}_all': EXTREMES.get(name, Sum)(name) for name in names}
    rows = Rollup.objects.order_by().values(*KEY).annotate(**sums)
    Rollup.objects.bulk_create(
        (
            Rollup(pipeline=EVERY, **{name: row[name] for name in KEY}, **{name: row[f'{name}_all'] for name in names})
            for row in list(rows)
        ),
        batch_size=500,
    )


def forget(apps, schema_editor):
    apps.get_model('logs', 'Rollup').objects.filter(pipeline=EVERY).delete()


class Migration(migrations.Migration):

    dependencies = [('logs', '0003_retention')]

    operations = [
        migrations.AddField(
            model_name='rollup',
            name='late',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.RunPython(sum_up, forget),
    ]
