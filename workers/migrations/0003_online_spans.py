import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('workers', '0002_node_void_epoch'),
    ]

    operations = [
        migrations.CreateModel(
            name='OnlineSpan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('begins_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(null=True)),
                ('going', models.UUIDField(null=True, unique=True)),
                ('node', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='online_spans', to='workers.node')),
            ],
            options={
                'indexes': [models.Index(fields=['node', 'ends_at'], name='online_span_node'), models.Index(fields=['ends_at'], name='online_span_end')],
            },
        ),
    ]
