"""PostgreSQL: the tables and every statement about them, but for the queue's own."""
