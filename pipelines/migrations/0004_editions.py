import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0003_limits_of_steps'),
    ]

    operations = [
        migrations.CreateModel(
            name='Edition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pipeline', models.UUIDField()),
                ('generation', models.BigIntegerField()),
                ('document', models.JSONField()),
                ('kept_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'indexes': [models.Index(fields=['kept_at'], name='edition_kept')],
                'constraints': [models.UniqueConstraint(fields=('pipeline', 'generation'), name='one_edition_per_generation')],
            },
        ),
    ]
