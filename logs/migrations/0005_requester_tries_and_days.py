from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('logs', '0004_rollups_of_all_pipelines'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='requested_by',
            field=models.CharField(blank=True, db_default='', default='', max_length=150, verbose_name='requested by'),
        ),
        migrations.AddField(
            model_name='steprun',
            name='tries',
            field=models.JSONField(null=True, verbose_name='tries'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['state', 'scheduled_at'], name='run_state_scheduled'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['pipeline', 'scheduled_at'], name='run_pipeline_scheduled'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['node', 'scheduled_at'], name='run_node_scheduled'),
        ),
    ]
