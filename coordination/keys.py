"""Every key of the etcd contract is built and parsed here, and nowhere else."""

from dataclasses import dataclass

DEFAULT_PREFIX = "/ects"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below one prefix, ``/ects`` unless the installation says otherwise (no slash at the end)."""

    prefix: str = DEFAULT_PREFIX

    def config(self) -> str:
        """Shared settings, signed."""
        return f"{self.prefix}/config"

    def probe(self) -> str:
        """Written and deleted to see whether that works."""
        return f"{self.prefix}/probe"

    def epoch(self) -> str:
        """Identity of this filling of etcd."""
        return f"{self.prefix}/epoch"

    def nodes(self) -> str:
        """Prefix of all presence keys."""
        return f"{self.prefix}/nodes/"

    def node(self, node: str) -> str:
        """Presence of one node, leased."""
        return f"{self.prefix}/nodes/{node}"

    def sessions(self) -> str:
        """Prefix of all worker sessions."""
        return f"{self.prefix}/sessions/"

    def session(self, node: str, session: str) -> str:
        """A worker's right to run shared fires, leased."""
        return f"{self.prefix}/sessions/{node}/{session}"

    def all_pipelines(self) -> str:
        """Prefix of the documents of all nodes (the master's view)."""
        return f"{self.prefix}/pipelines/"

    def pipelines(self, node: str) -> str:
        """Prefix of the documents of one node."""
        return f"{self.prefix}/pipelines/{node}/"

    def pipeline(self, node: str, pipeline: str) -> str:
        """The signed document, or tombstone, of one pipeline for one node."""
        return f"{self.prefix}/pipelines/{node}/{pipeline}"

    def commands(self, node: str) -> str:
        """Prefix of the commands to one node."""
        return f"{self.prefix}/commands/{node}/"

    def command(self, node: str, command: str) -> str:
        """One signed command to one node, leased."""
        return f"{self.prefix}/commands/{node}/{command}"

    def all_fires(self) -> str:
        """Prefix of the records of all shared pipelines."""
        return f"{self.prefix}/fires/"

    def fires(self, pipeline: str) -> str:
        """The one record of a shared pipeline."""
        return f"{self.prefix}/fires/{pipeline}"

    def election(self) -> str:
        """The leading master, leased."""
        return f"{self.prefix}/elections/master"

    def parse_pipeline(self, key: str) -> tuple[str, str]:
        """``(node, pipeline)`` of a document key. Raises ValueError for any other key."""
        return self._pair(key, self.all_pipelines())

    def parse_command(self, key: str) -> tuple[str, str]:
        """``(node, command)`` of a command key. Raises ValueError for any other key."""
        return self._pair(key, f"{self.prefix}/commands/")

    def parse_session(self, key: str) -> tuple[str, str]:
        """``(node, session)`` of a session key. Raises ValueError for any other key."""
        return self._pair(key, self.sessions())

    def parse_node(self, key: str) -> str:
        """The node of a presence key. Raises ValueError for any other key."""
        rest = key.removeprefix(self.nodes())
        if rest == key or not rest or "/" in rest:
            raise ValueError(f"not a presence key: {key}")
        return rest

    def _pair(self, key: str, prefix: str) -> tuple[str, str]:
        rest = key.removeprefix(prefix)
        first, slash, second = rest.partition("/")
        if rest == key or not first or not slash or not second or "/" in second:
            raise ValueError(f"not a key below {prefix}: {key}")
        return first, second
