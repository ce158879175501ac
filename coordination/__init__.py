"""What console and worker agree on: keys, documents, records, signatures and the etcd port. No Django in here."""
