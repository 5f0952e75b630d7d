/*
 * An application in the hands of the fuzzer: it carries out one command a line, with whatever SQLite it is linked to.
 *
 * A command is words separated by tabs, each percent-encoded. The answer is one line:
 *
 *   result code, extended result code, whether the connection is in a transaction (0 or 1), text
 *
 * separated by tabs, the text percent-encoded. For file operations, the result code is errno.
 * SQLite's random numbers are the same in each run, so that two directories get the same bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifndef SQLITE_HEADER
#define SQLITE_HEADER <sqlite3.h>
#endif
#include SQLITE_HEADER

#define SLOTS 8
#define WORDS 12
#define SHOWN 160

static struct {
  sqlite3 *db;
  sqlite3_stmt *reader;
} slots[SLOTS];

static char *word[WORDS];
static int words;

static sqlite3 *db_of(int i) {
  int slot = atoi(word[i]);
  return slot >= 0 && slot < SLOTS ? slots[slot].db : NULL;
}

/* ---- answers ---- */

/* 0: no BEGIN; 1: within one; 2: and it has begun to write */
static int transaction_of(sqlite3 *db) {
  if (db == NULL || sqlite3_get_autocommit(db)) return 0;
  return sqlite3_txn_state(db, NULL) == SQLITE_TXN_WRITE ? 2 : 1;
}

static void answer(int rc, int extended, int transaction, const unsigned char *text, size_t length) {
  printf("%d\t%d\t%d\t", rc, extended, transaction);
  for (size_t i = 0; i < length; i++) {
    if (text[i] > 32 && text[i] < 127 && text[i] != '%') putchar(text[i]);
    else printf("%%%02x", text[i]);
  }
  putchar('\n');
  fflush(stdout);
}

static void answer_text(int rc, sqlite3 *db, const char *text) {
  answer(rc, db == NULL ? rc : sqlite3_extended_errcode(db), transaction_of(db),
         (const unsigned char *)text, strlen(text));
}

static void answer_errno(int failed) {
  int code = failed ? errno : 0;
  answer(code, code, 0, (const unsigned char *)(code == 0 ? "" : strerror(code)), code == 0 ? 0 : strlen(strerror(code)));
}

/* ---- results: the first characters of the rows, and a hash of all ---- */

struct rows {
  char shown[SHOWN + 64];
  size_t length;
  uint64_t hash;
  long count;
};

static void add(struct rows *rows, const void *data, size_t size) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < size; i++) rows->hash = (rows->hash ^ bytes[i]) * 1099511628211ULL;
  size_t room = SHOWN - rows->length;
  size_t shown = size < room ? size : room;
  memcpy(rows->shown + rows->length, data, shown);
  rows->length += shown;
}

static void add_row(struct rows *rows, sqlite3_stmt *statement) {
  rows->count++;
  for (int i = 0; i < sqlite3_column_count(statement); i++) {
    const void *value = sqlite3_column_blob(statement, i);
    char head[32];
    int size = sqlite3_column_bytes(statement, i), type = sqlite3_column_type(statement, i);
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) value = sqlite3_column_text(statement, i);
    if (i > 0) add(rows, "|", 1);
    rows->hash = (rows->hash ^ (uint64_t)type ^ ((uint64_t)size << 8)) * 1099511628211ULL;
    if (type == SQLITE_BLOB) {
      snprintf(head, sizeof head, "blob(%d)", size);
      size_t before = rows->length;
      add(rows, head, strlen(head));
      for (int k = 0; k < size; k++) rows->hash = (rows->hash ^ ((const unsigned char *)value)[k]) * 1099511628211ULL;
      (void)before;
    } else if (value != NULL) add(rows, value, (size_t)size);
  }
  add(rows, "\n", 1);
}

static const char *finish(struct rows *rows) {
  snprintf(rows->shown + rows->length, 64, "#%ld %016llx", rows->count, (unsigned long long)rows->hash);
  return rows->shown;
}

static int run(sqlite3 *db, const char *sql, struct rows *rows) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (rc != SQLITE_OK) return rc;
  if (statement == NULL) return SQLITE_OK;
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW) add_row(rows, statement);
  int end = sqlite3_finalize(statement);
  return rc == SQLITE_DONE ? end : rc;
}

/* ---- what kills the process, cuts its writes, or makes them fail ---- */

static long calls, due = -1, piece;
static char how;

typedef ssize_t (*write_call)(int, const void *, size_t);
typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);
static write_call real_write;
static pwrite_call real_pwrite, real_pwrite64;
static int (*real_truncate)(int, off_t);
static int (*real_unlink)(const char *);

/* 0: carry the call out; -1: fail. */
static int before_call(void) {
  if (due < 0 || ++calls != due) return 0;
  if (how != 'f') return 0;
  errno = EIO;
  return -1;
}
static void after_call(void) {
  if (due >= 0 && calls == due && how == 'k') kill(getpid(), SIGKILL);
}
static size_t cut(size_t size) { return piece > 0 && size > (size_t)piece ? (size_t)piece : size; }

#define AFTER(call)                    \
  if (before_call() != 0) return -1;   \
  ssize_t result = (call);             \
  int saved = errno;                   \
  after_call();                        \
  errno = saved;                       \
  return result;

static ssize_t my_write(int fd, const void *data, size_t size) { AFTER(real_write(fd, data, cut(size))) }
static ssize_t my_pwrite(int fd, const void *data, size_t size, off_t at) { AFTER(real_pwrite(fd, data, cut(size), at)) }
static ssize_t my_pwrite64(int fd, const void *data, size_t size, off_t at) { AFTER(real_pwrite64(fd, data, cut(size), at)) }
static int my_truncate(int fd, off_t size) { AFTER(real_truncate(fd, size)) }
static int my_unlink(const char *path) { AFTER(real_unlink(path)) }

static void interpose(const char *name, void *mine, void *real) {
  sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
  *(sqlite3_syscall_ptr *)real = vfs->xGetSystemCall(vfs, name);
  if (*(sqlite3_syscall_ptr *)real != NULL) vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)mine);
}

/* ---- the same numbers in each run ---- */

static uint64_t number;
static uint64_t next_number(void) {
  number += 0x9e3779b97f4a7c15ULL;
  uint64_t z = number;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
static int randomness(sqlite3_vfs *vfs, int size, char *into) {
  (void)vfs;
  for (int i = 0; i < size; i++) into[i] = (char)next_number();
  return size;
}

static void fill(unsigned char *bytes, size_t size, uint64_t seed) {
  uint64_t z = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (size_t i = 0; i < size; i++) {
    z ^= z << 13;
    z ^= z >> 7;
    z ^= z << 17;
    bytes[i] = (unsigned char)z;
  }
}
/* noise(seed, size) is a blob. */
static void noise(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_int64 size = sqlite3_value_int64(values[1]);
  if (size < 0) size = 0;
  unsigned char *bytes = malloc((size_t)size + 1);
  fill(bytes, (size_t)size, (uint64_t)sqlite3_value_int64(values[0]));
  sqlite3_result_blob(context, bytes, (int)size, free);
}

static int stop(void *unused) {
  (void)unused;
  return 1;
}

/* ---- connections ---- */

static sqlite3 *connect_to(const char *path, int flags, const char *vfs, int *rc) {
  sqlite3 *db = NULL;
  *rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_URI, *vfs == 0 ? NULL : vfs);
  if (*rc == SQLITE_OK) sqlite3_create_function(db, "noise", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, noise, NULL, NULL);
  return db;
}

/* open SLOT PATH rw|ro|existing VFS */
static void do_open(void) {
  int slot = atoi(word[1]), rc;
  if (slots[slot].db != NULL) return answer_text(SQLITE_MISUSE, NULL, "already open");
  int flags = strcmp(word[3], "ro") == 0         ? SQLITE_OPEN_READONLY
              : strcmp(word[3], "existing") == 0 ? SQLITE_OPEN_READWRITE
                                                 : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  slots[slot].db = connect_to(word[2], flags, words > 4 ? word[4] : "", &rc);
  if (rc == SQLITE_OK) return answer_text(rc, slots[slot].db, "");
  int extended = slots[slot].db == NULL ? rc : sqlite3_extended_errcode(slots[slot].db);
  sqlite3_close(slots[slot].db);
  slots[slot].db = NULL;
  answer(rc, extended, 0, (const unsigned char *)"", 0);
}

static void do_close(void) {
  int slot = atoi(word[1]);
  sqlite3_finalize(slots[slot].reader);
  slots[slot].reader = NULL;
  int rc = sqlite3_close(slots[slot].db);
  slots[slot].db = NULL;
  answer_text(rc, NULL, "");
}

/* sql SLOT SQL [OPERATIONS]: interrupted after so many operations of the virtual machine */
static void do_sql(void) {
  sqlite3 *db = db_of(1);
  struct rows rows = {{0}, 0, 14695981039346656037ULL, 0};
  if (db == NULL) return answer_text(SQLITE_MISUSE, NULL, "not open");
  if (words > 3) sqlite3_progress_handler(db, atoi(word[3]), stop, NULL);
  int rc = run(db, word[2], &rows);
  sqlite3_progress_handler(db, 0, NULL, NULL);
  answer_text(rc & 0xff, db, rc == SQLITE_OK ? finish(&rows) : sqlite3_errmsg(db));
}

/* read SLOT SQL: leaves the statement at its first row */
static void do_read(void) {
  int slot = atoi(word[1]);
  sqlite3 *db = db_of(1);
  if (db == NULL || slots[slot].reader != NULL) return answer_text(SQLITE_MISUSE, NULL, "not possible");
  int rc = sqlite3_prepare_v2(db, word[2], -1, &slots[slot].reader, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(slots[slot].reader);
  if (rc != SQLITE_ROW) {
    sqlite3_finalize(slots[slot].reader);
    slots[slot].reader = NULL;
  }
  answer_text(rc & 0xff, db, "");
}

/* end-read SLOT: the rest of the rows */
static void do_end_read(void) {
  int slot = atoi(word[1]);
  struct rows rows = {{0}, 0, 14695981039346656037ULL, 0};
  if (slots[slot].reader == NULL) return answer_text(SQLITE_MISUSE, NULL, "no reader");
  while (sqlite3_step(slots[slot].reader) == SQLITE_ROW) add_row(&rows, slots[slot].reader);
  int rc = sqlite3_finalize(slots[slot].reader);
  slots[slot].reader = NULL;
  answer_text(rc & 0xff, slots[slot].db, finish(&rows));
}

/* blob SLOT DATABASE TABLE COLUMN ROWID OFFSET SIZE SEED */
static void do_blob(void) {
  sqlite3 *db = db_of(1);
  sqlite3_blob *blob = NULL;
  if (db == NULL) return answer_text(SQLITE_MISUSE, NULL, "not open");
  int rc = sqlite3_blob_open(db, word[2], word[3], word[4], atoll(word[5]), 1, &blob);
  if (rc == SQLITE_OK) {
    int size = atoi(word[7]), at = atoi(word[6]), whole = sqlite3_blob_bytes(blob);
    if (at > whole) at = whole;
    if (at + size > whole) size = whole - at;
    unsigned char *bytes = malloc((size_t)size + 1);
    fill(bytes, (size_t)size, (uint64_t)atoll(word[8]));
    rc = sqlite3_blob_write(blob, bytes, size, at);
    free(bytes);
  }
  int end = sqlite3_blob_close(blob);
  answer_text((rc == SQLITE_OK ? end : rc) & 0xff, db, "");
}

/* backup TO-SLOT FROM-SLOT PAGES STEPS: pages a step; 0 steps: to the end */
static void do_backup(void) {
  sqlite3 *to = db_of(1), *from = db_of(2);
  if (to == NULL || from == NULL || to == from) return answer_text(SQLITE_MISUSE, NULL, "not open");
  sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
  if (backup == NULL) return answer_text(sqlite3_errcode(to), to, "");
  int rc = SQLITE_OK, most = atoi(word[4]);
  for (int i = 0; (most == 0 || i < most) && rc == SQLITE_OK; i++) rc = sqlite3_backup_step(backup, atoi(word[3]));
  int end = sqlite3_backup_finish(backup);
  answer_text((rc == SQLITE_DONE ? end : rc) & 0xff, to, "");
}

/* control SLOT NAME VALUE */
static void do_control(void) {
  sqlite3 *db = db_of(1);
  int value = atoi(word[3]), rc = SQLITE_NOTFOUND;
  sqlite3_int64 wide = value;
  if (db == NULL) return answer_text(SQLITE_MISUSE, NULL, "not open");
  if (strcmp(word[2], "chunk") == 0) rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_CHUNK_SIZE, &value);
  else if (strcmp(word[2], "hint") == 0) rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_HINT, &wide);
  else if (strcmp(word[2], "persist") == 0) rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &value);
  else if (strcmp(word[2], "psow") == 0) rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_POWERSAFE_OVERWRITE, &value);
  else if (strcmp(word[2], "flush") == 0) rc = sqlite3_db_cacheflush(db);
  else if (strcmp(word[2], "release") == 0) rc = sqlite3_db_release_memory(db);
  else if (strcmp(word[2], "reset") == 0) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_RESET_DATABASE, 1, NULL);
    rc = sqlite3_exec(db, "VACUUM", NULL, NULL, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_RESET_DATABASE, 0, NULL);
  } else if (strcmp(word[2], "no-checkpoint") == 0)
    rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, value, NULL);
  /* A call that succeeds leaves the code of an earlier one. */
  answer(rc & 0xff, rc == SQLITE_OK ? 0 : sqlite3_extended_errcode(db), transaction_of(db), NULL, 0);
}

/* check PATH: integrity and a digest of the schema and all rows, through a new connection */
static void do_check(void) {
  struct stat facts;
  struct rows rows = {{0}, 0, 14695981039346656037ULL, 0}, sound = rows;
  int rc;
  if (stat(word[1], &facts) != 0) {
    int broken = errno == EIO || errno == ENOTCONN;
    return answer_text(broken ? errno : 0, NULL, broken ? strerror(errno) : "absent");
  }
  sqlite3 *db = connect_to(word[1], SQLITE_OPEN_READWRITE, "", &rc);
  sqlite3_busy_timeout(db, 10000);
  if (rc == SQLITE_OK) rc = run(db, "PRAGMA integrity_check(3)", &sound);
  if (rc == SQLITE_OK) rc = run(db, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid", &rows);
  sqlite3_stmt *tables = NULL;
  if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, "SELECT name FROM sqlite_master WHERE type = 'table'", -1, &tables, NULL);
  while (rc == SQLITE_OK && sqlite3_step(tables) == SQLITE_ROW) {
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", sqlite3_column_text(tables, 0));
    rc = run(db, sql, &rows);
    sqlite3_free(sql);
  }
  sqlite3_finalize(tables);
  char text[SHOWN + 128];
  if (rc != SQLITE_OK) snprintf(text, sizeof text, "%s", sqlite3_errstr(rc));
  else if (strncmp(sound.shown, "ok\n", 3) != 0) snprintf(text, sizeof text, "damaged: %s", finish(&sound));
  else if (rows.count == 0) snprintf(text, sizeof text, "no content");
  else snprintf(text, sizeof text, "ok #%ld %016llx", rows.count, (unsigned long long)rows.hash);
  int extended = sqlite3_extended_errcode(db);
  sqlite3_close(db);
  answer(rc & 0xff, rc == SQLITE_OK ? 0 : extended, 0, (const unsigned char *)text, strlen(text));
}

/* ---- files ---- */

static int copy(const char *from, const char *to, int flags) {
  int in = open(from, O_RDONLY), out, failed = 0;
  if (in < 0) return -1;
  if ((out = open(to, O_WRONLY | O_CREAT | flags, 0644)) < 0) {
    int saved = errno;
    close(in);
    errno = saved;
    return -1;
  }
  static char buffer[32768];
  ssize_t size;
  while (!failed && (size = read(in, buffer, sizeof buffer)) > 0) failed = write(out, buffer, (size_t)size) != size;
  int saved = errno;
  close(in);
  if (close(out) != 0 && !failed) return -1;
  errno = saved;
  return failed ? -1 : 0;
}

/* put PATH OFFSET SIZE SEED: writes over, without truncation */
static int put(void) {
  int fd = open(word[1], O_WRONLY | O_CREAT, 0644), size = atoi(word[3]);
  if (fd < 0) return -1;
  unsigned char *bytes = malloc((size_t)size + 1);
  fill(bytes, (size_t)size, (uint64_t)atoll(word[4]));
  int failed = pwrite(fd, bytes, (size_t)size, atol(word[2])) != size, saved = errno;
  free(bytes);
  close(fd);
  errno = saved;
  return failed ? -1 : 0;
}

/* replace FROM TO: a copy under another name, renamed */
static int replace(void) {
  char *temporary = NULL;
  if (asprintf(&temporary, "%s.new", word[2]) < 0) return -1;
  int failed = copy(word[1], temporary, O_TRUNC) != 0 || rename(temporary, word[2]) != 0;
  free(temporary);
  return failed ? -1 : 0;
}

static void do_text(void) {
  static char text[1024];
  int fd = open(word[1], O_RDONLY);
  if (fd < 0) return answer_errno(1);
  ssize_t size = read(fd, text, sizeof text - 1);
  if (size < 0) answer_errno(1);
  else answer(0, 0, 0, (const unsigned char *)text, (size_t)size);
  close(fd);
}

static void do_size(void) {
  struct stat facts;
  char text[32] = "0";
  if (stat(word[1], &facts) == 0) snprintf(text, sizeof text, "%lld", (long long)facts.st_size);
  answer_text(0, NULL, text);
}

static void do_arm(void) {
  calls = 0;
  due = atol(word[1]);
  how = word[2][0];
  answer_text(0, NULL, "");
}

static void do_disarm(void) {
  char text[32];
  snprintf(text, sizeof text, "%ld", calls);
  due = -1;
  answer_text(0, NULL, text);
}

static void do_file(void) {
  const char *name = word[0];
  if (strcmp(name, "rm") == 0) answer_errno(unlink(word[1]) != 0);
  else if (strcmp(name, "mv") == 0) answer_errno(rename(word[1], word[2]) != 0);
  else if (strcmp(name, "cp") == 0) answer_errno(copy(word[1], word[2], O_TRUNC) != 0);
  else if (strcmp(name, "cp-inplace") == 0) answer_errno(copy(word[1], word[2], 0) != 0);
  else if (strcmp(name, "replace") == 0) answer_errno(replace() != 0);
  else if (strcmp(name, "ln") == 0) answer_errno(link(word[1], word[2]) != 0);
  else if (strcmp(name, "mkdir") == 0) answer_errno(mkdir(word[1], 0755) != 0);
  else if (strcmp(name, "rmdir") == 0) answer_errno(rmdir(word[1]) != 0);
  else if (strcmp(name, "truncate") == 0) answer_errno(truncate(word[1], atol(word[2])) != 0);
  else if (strcmp(name, "put") == 0) answer_errno(put() != 0);
  else answer_text(SQLITE_ERROR, NULL, "unknown command");
}

static const struct {
  const char *name;
  void (*run)(void);
  int words;
} commands[] = {
    {"open", do_open, 4},     {"close", do_close, 2},   {"sql", do_sql, 3},         {"read", do_read, 3},
    {"end-read", do_end_read, 2}, {"blob", do_blob, 9}, {"backup", do_backup, 5},   {"control", do_control, 4},
    {"check", do_check, 2},   {"text", do_text, 2},     {"arm", do_arm, 3},         {"disarm", do_disarm, 1},
    {"size", do_size, 2},
    {"rm", do_file, 2},       {"mv", do_file, 3},       {"cp", do_file, 3},         {"cp-inplace", do_file, 3},
    {"replace", do_file, 3},  {"ln", do_file, 3},       {"mkdir", do_file, 2},      {"rmdir", do_file, 2},
    {"truncate", do_file, 3}, {"put", do_file, 5},
};

static void decode(char *text) {
  char *to = text;
  for (char *from = text; *from != 0; from++) {
    if (*from == '%' && from[1] != 0 && from[2] != 0) {
      char hex[3] = {from[1], from[2], 0};
      *to++ = (char)strtol(hex, NULL, 16);
      from += 2;
    } else *to++ = *from;
  }
  *to = 0;
}

/* driver DIRECTORY SEED PIECE: writes are cut to PIECE bytes; 0: they are not */
int main(int count, char **arguments) {
  if (count != 4 || chdir(arguments[1]) != 0) {
    perror("driver DIRECTORY SEED PIECE");
    return 2;
  }
  number = strtoull(arguments[2], NULL, 10);
  piece = atol(arguments[3]);
  sqlite3_config(SQLITE_CONFIG_LOG, NULL, NULL);
  sqlite3_initialize();
  sqlite3_vfs_find(NULL)->xRandomness = randomness;
  interpose("write", my_write, &real_write);
  interpose("pwrite", my_pwrite, &real_pwrite);
  interpose("pwrite64", my_pwrite64, &real_pwrite64);
  interpose("ftruncate", my_truncate, &real_truncate);
  interpose("unlink", my_unlink, &real_unlink);
  char *line = NULL;
  size_t room = 0;
  for (ssize_t length; (length = getline(&line, &room, stdin)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    words = 0;
    for (char *next = line, *part; words < WORDS && (part = strsep(&next, "\t")) != NULL;) word[words++] = part;
    for (int i = 0; i < words; i++) decode(word[i]);
    size_t i = 0;
    while (i < sizeof commands / sizeof commands[0] && strcmp(commands[i].name, word[0]) != 0) i++;
    if (i == sizeof commands / sizeof commands[0] || words < commands[i].words)
      answer_text(SQLITE_MISUSE, NULL, "unknown command");
    else commands[i].run();
  }
  return 0;
}
