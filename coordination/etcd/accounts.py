"""etcd's users and roles: ``coordination.gateway.Accounts``, by its Auth service."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from coordination.errors import AlreadyExists, AuthenticationFailed, NotFound
from coordination.etcd import calls, requests
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.blocking import SyncEtcd
from coordination.gateway import CALL_TIMEOUT, EtcdSettings, Permission

ROOT = "root"
"""The user and the role without which etcd does not switch authentication on."""

_Grant = tuple[bytes, bytes, pb.Permission.Type]
"""Key, end of the range (empty: the key alone), and what is permitted."""


class EtcdAccounts:
    """``coordination.gateway.Accounts`` on etcd; safe to use from several threads."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._client = SyncEtcd(settings)

    def is_required(self) -> bool:
        # AuthStatus came with etcd 3.5 only.
        try:
            return self._client.has_token(CALL_TIMEOUT)
        except AuthenticationFailed:
            return True

    def require(self, password: str) -> None:
        if self.is_required():
            return
        with suppress(AlreadyExists):
            self._call(calls.ROLE_ADD, pb.AuthRoleAddRequest(name=ROOT))
        self.put_user(ROOT, password, [ROOT])
        self._call(calls.AUTH_ENABLE, pb.AuthEnableRequest())

    def users(self) -> frozenset[str]:
        return frozenset(self._call(calls.USER_LIST, pb.AuthUserListRequest()).users)

    def roles_of(self, user: str) -> frozenset[str]:
        return frozenset(self._call(calls.USER_GET, pb.AuthUserGetRequest(name=user)).roles)

    def put_role(self, role: str, permissions: Collection[Permission]) -> None:
        with suppress(AlreadyExists):
            self._call(calls.ROLE_ADD, pb.AuthRoleAddRequest(name=role))
        reply = self._call(calls.ROLE_GET, pb.AuthRoleGetRequest(role=role))
        held = {(grant.key, grant.range_end, grant.permType) for grant in reply.perm}
        wanted = {_grant(permission) for permission in permissions}
        for key, end, kind in sorted(wanted - held):
            permission = pb.Permission(key=key, range_end=end, permType=kind)
            self._call(calls.ROLE_GRANT, pb.AuthRoleGrantPermissionRequest(name=role, perm=permission))
        for key, end in sorted({grant[:2] for grant in held} - {grant[:2] for grant in wanted}):
            self._call(calls.ROLE_REVOKE, pb.AuthRoleRevokePermissionRequest(role=role, key=key, range_end=end))

    def put_user(self, user: str, password: str, roles: Sequence[str]) -> None:
        try:
            self._call(calls.USER_ADD, pb.AuthUserAddRequest(name=user, password=password))
        except AlreadyExists:
            self._call(calls.USER_PASSWORD, pb.AuthUserChangePasswordRequest(name=user, password=password))
        for role in roles:
            self._call(calls.USER_GRANT, pb.AuthUserGrantRoleRequest(user=user, role=role))

    def remove_user(self, user: str) -> None:
        with suppress(NotFound):
            self._call(calls.USER_DELETE, pb.AuthUserDeleteRequest(name=user))

    def remove_role(self, role: str) -> None:
        with suppress(NotFound):
            self._call(calls.ROLE_DELETE, pb.AuthRoleDeleteRequest(role=role))

    def close(self) -> None:
        self._client.close()

    def _call(self, method: calls.Method, request: Any) -> Any:
        return self._client.call(method, request, CALL_TIMEOUT)


def _grant(permission: Permission) -> _Grant:
    kind = pb.Permission.READWRITE if permission.write else pb.Permission.READ
    key, end = requests.span(permission.key) if permission.prefix else (requests.encode(permission.key), b"")
    return key, end, kind
