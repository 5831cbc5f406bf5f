"""MySQL and MariaDB through aiomysql: permits, connections, and their errors."""
