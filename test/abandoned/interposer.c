/*
 * Loaded into an application (LD_PRELOAD), it kills the application at one of the system calls by which SQLite changes
 * files, or makes the call fail.
 *
 * INTERPOSER_DIRECTORY  only calls on files below count
 * INTERPOSER_ARMED      only calls while this file exists count; it is outside of that directory
 * INTERPOSER_AT         the number of that call, from 1 on; 0: none
 * INTERPOSER_HOW        after: SIGKILL after the call; fail: EIO instead of the call; lie: EIO after the call
 * INTERPOSER_COUNT      a file for the number of calls, written when the process ends by itself
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long calls;

static int counts(int fd) {
  const char *directory = getenv("INTERPOSER_DIRECTORY"), *armed = getenv("INTERPOSER_ARMED");
  char link[64], path[4096];
  if (directory == NULL || armed == NULL || access(armed, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strncmp(path, directory, strlen(directory)) == 0;
}

/* INTERPOSER_HOW if this call is the one, else NULL: the call passes. */
static const char *due(int counted) {
  if (!counted || ++calls != atol(getenv("INTERPOSER_AT"))) return NULL;
  return getenv("INTERPOSER_HOW");
}

static long finish(const char *how, long result) {
  if (how == NULL) return result;
  if (strcmp(how, "after") == 0) kill(getpid(), SIGKILL);
  errno = EIO;
  return -1;
}

#define REAL(name) (real != NULL ? real : (real = dlsym(RTLD_NEXT, name)))
#define PASS(call) (how != NULL && strcmp(how, "fail") == 0 ? finish(how, 0) : finish(how, call))

#define WRITE_AT(name)                                                                   \
  ssize_t name(int fd, const void *data, size_t size, off_t at) {                        \
    static ssize_t (*real)(int, const void *, size_t, off_t);                            \
    const char *how = due(counts(fd));                                                   \
    return PASS(((ssize_t(*)(int, const void *, size_t, off_t))REAL(#name))(fd, data, size, at)); \
  }
WRITE_AT(pwrite)
WRITE_AT(pwrite64)

ssize_t write(int fd, const void *data, size_t size) {
  static ssize_t (*real)(int, const void *, size_t);
  const char *how = due(counts(fd));
  return PASS(((ssize_t(*)(int, const void *, size_t))REAL("write"))(fd, data, size));
}

#define ON_FILE(name)                                    \
  int name(int fd) {                                     \
    static int (*real)(int);                             \
    const char *how = due(counts(fd));                   \
    return PASS(((int (*)(int))REAL(#name))(fd));        \
  }
ON_FILE(fsync)
ON_FILE(fdatasync)

#define RESIZE(name)                                               \
  int name(int fd, off_t size) {                                   \
    static int (*real)(int, off_t);                                \
    const char *how = due(counts(fd));                             \
    return PASS(((int (*)(int, off_t))REAL(#name))(fd, size));     \
  }
RESIZE(ftruncate)
RESIZE(ftruncate64)

/* SQLite does not expect a call that fails but takes the lock. Lock calls only kill. */
#define CONTROL(name)                                                              \
  int name(int fd, int command, ...) {                                             \
    static int (*real)(int, int, void *);                                          \
    va_list list;                                                                  \
    va_start(list, command);                                                       \
    void *argument = va_arg(list, void *);                                         \
    va_end(list);                                                                  \
    const char *mode = getenv("INTERPOSER_HOW");                                   \
    int kills = mode != NULL && strcmp(mode, "after") == 0; \
    const char *how = due(kills && command == F_SETLK && counts(fd));              \
    return PASS(((int (*)(int, int, void *))REAL(#name))(fd, command, argument));  \
  }
CONTROL(fcntl)
CONTROL(fcntl64)

int unlink(const char *path) {
  static int (*real)(const char *);
  const char *directory = getenv("INTERPOSER_DIRECTORY"), *armed = getenv("INTERPOSER_ARMED"), *mode = getenv("INTERPOSER_HOW");
  int kills = mode != NULL && strcmp(mode, "after") == 0;
  int counted = kills && directory != NULL && armed != NULL && strncmp(path, directory, strlen(directory)) == 0 && access(armed, F_OK) == 0;
  const char *how = due(counted);
  return PASS(((int (*)(const char *))REAL("unlink"))(path));
}

__attribute__((destructor)) static void tell(void) {
  const char *path = getenv("INTERPOSER_COUNT");
  FILE *file = path == NULL ? NULL : fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%ld\n", calls);
  fclose(file);
}
