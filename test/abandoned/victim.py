"""An application that is to die: one transaction, with the system's SQLite, in the middle of which the interposer (interposer.c) ends it.

    victim.py DATABASE ARMED WINDOW PRAGMA...

WINDOW: `commit` arms the interposer for the COMMIT alone, `transaction` for all of it. Says `committed`, or the error."""

import os
import sqlite3
import sys

database, armed, window, *pragmas = sys.argv[1:]
connection = sqlite3.connect(database, timeout=20, isolation_level=None)
for pragma in pragmas:
    connection.execute(f"PRAGMA {pragma}").fetchall()


def arm():
    open(armed, "w").close()


try:
    if window == "transaction":
        arm()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO entry VALUES (100, randomblob(600))")
    connection.execute("UPDATE entry SET filler = randomblob(700) WHERE n <= 12")
    connection.execute("UPDATE tally SET entries = entries + 1")
    if window == "commit":
        arm()
    connection.execute("COMMIT")
    said = "committed"
except sqlite3.Error as error:
    said = f"error: {error}"
finally:
    os.remove(armed)
print(said, flush=True)
try:
    connection.close()
except sqlite3.Error:
    pass
