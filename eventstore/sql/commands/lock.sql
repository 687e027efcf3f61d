-- Lock a table until the transaction ends. It takes no snapshot.
LOCK TABLE {table} IN {mode} MODE
