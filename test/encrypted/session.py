"""A connection to an encrypted database: python3 session.py ENGINE PATH [KEY].

Reads a statement a line, as JSON, and answers each with a line: {"rows": [...]} or {"error": "..."}.
"""

import json
import sys

# With a key that is raw, its salt is known, and nothing has to be written in the header's place.
RAW = "11" * 32 + "22" * 16
SQLCIPHER = "sqlcipher"
# SQLCipher's cipher_plaintext_header_size = 32.
READABLE_HEADER = "sqlcipher-readable-header"


def connect(engine, path, key):
    if engine in (SQLCIPHER, READABLE_HEADER):
        from sqlcipher3 import dbapi2

        connection = dbapi2.connect(path, isolation_level=None, timeout=30)
        if engine == READABLE_HEADER:
            return connection, [f"PRAGMA key = \"x'{RAW}'\"", "PRAGMA cipher_plaintext_header_size = 32"]
        return connection, [f"PRAGMA key = '{key}'"]
    import apsw

    connection = apsw.Connection(path)
    connection.set_busy_timeout(30_000)
    return connection, [f"PRAGMA cipher = '{engine}'", f"PRAGMA key = '{key}'"]


def main(engine, path, key="secret"):
    connection, settings = connect(engine, path, key)
    for statement in settings:
        list(connection.execute(statement))
    for line in sys.stdin:
        try:
            answer = {"rows": [list(row) for row in connection.execute(json.loads(line))]}
        except Exception as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
    connection.close()


main(*sys.argv[1:])
