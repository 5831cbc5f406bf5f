"""MySQL and MariaDB through aiomysql: permits, connections, statements, and their errors."""
