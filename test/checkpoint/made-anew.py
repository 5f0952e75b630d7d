"""While the local client (argv 2) checkpoints a database on the mount (argv 1), an application removes the database,
as argv 3 says, and makes it anew under its name. Prints what became of the new one, as JSON."""

import json
import os
import signal
import sqlite3
import sys
import time

path, client, how = sys.argv[1] + "/anew.db", int(sys.argv[2]), sys.argv[3]


def client_works():
    for fd in os.listdir(f"/proc/{client}/fd"):
        try:
            if os.readlink(f"/proc/{client}/fd/{fd}").endswith("/anew.db"):
                return True
        except OSError:
            pass
    return False


def connect():
    connection = sqlite3.connect(path, isolation_level=None, timeout=20)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t(x)")
    return connection


first = connect()
first.execute("PRAGMA wal_autocheckpoint = 0")
second = sqlite3.connect(path, isolation_level=None)
second.execute("SELECT * FROM t").fetchall()
time.sleep(0.3)
first.execute(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) INSERT INTO t SELECT randomblob(800) FROM n"
)
limit = time.time() + 10
while not client_works():
    if time.time() > limit:
        sys.exit("no checkpoint was seen")
os.kill(client, signal.SIGSTOP)
try:
    first.close()
    second.close()
    # A plain directory has only the database left by now.
    for suffix in {"all": ["-wal", "-shm", ""], "database": [""]}[how]:
        os.unlink(path + suffix)
    if how == "database":
        # The index that is left belongs to nobody: the new database waits for the client, which finds that out.
        os.kill(client, signal.SIGCONT)
    third = connect()
    for i in range(20):
        third.execute("INSERT INTO t VALUES (?)", (i,))
finally:
    os.kill(client, signal.SIGCONT)
time.sleep(1)
try:
    for i in range(20, 40):
        third.execute("INSERT INTO t VALUES (?)", (i,))
    other = sqlite3.connect(path, isolation_level=None, timeout=20)
    seen = other.execute("SELECT count(*) FROM t").fetchone()[0]
    other.close()
    third.close()
    fresh = sqlite3.connect(path, isolation_level=None, timeout=20)
    left = fresh.execute("SELECT count(*) FROM t").fetchone()[0]
    sound = fresh.execute("PRAGMA integrity_check").fetchone()[0]
    fresh.close()
    print(json.dumps({"seen": seen, "left": left, "sound": sound}))
except sqlite3.Error as error:
    print(json.dumps({"error": str(error)}))
