"""The platform's MySQL or MariaDB: permits to connect, connections, snapshots."""
