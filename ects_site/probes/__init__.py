"""Live tests of what a configuration names, done before anything is kept: etcd, database, keys, mail, address."""
