"""A console with an etcd, as other tests have it."""

from tests.pipelines.conftest import console, etcd

__all__ = ["console", "etcd"]
