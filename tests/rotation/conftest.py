"""The console's side, with a real etcd."""

from tests.pipelines.conftest import console, etcd

__all__ = ["console", "etcd"]
