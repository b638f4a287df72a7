/* Preloaded into a process: counts its state-changing calls, and lets the one that is chosen kill it or fail; its clock
 * shows a wrong time of day, as far as the C library is asked for it.
 *
 * Counted: what changes a file or a folder, and what is sent to another machine; not what is written to a terminal, a
 * pipe or /dev/null, nor what only reads. The counters lie in memory that forked processes share with the one that
 * made it, so that it can read them after a process was killed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 0, KILL = 1, FAIL = 2, FAIL_ALL = 3, TORN = 4 };
#define NAMES 200000

struct plan {
    int64_t armed;   /* the process whose calls count; 0: none */
    int64_t calls;   /* counted so far */
    int64_t chosen;  /* from 1 */
    int64_t action;
    int64_t error;   /* errno of FAIL and FAIL_ALL */
    int64_t struck;  /* whether it happened */
    int64_t skew;    /* seconds by which the time of day is wrong */
    char kinds[NAMES]; /* a letter for each call */
};

static struct plan *plan;

struct plan *faults_plan(void) { return plan; }

__attribute__((constructor)) static void prepare(void) {
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void die(void) { syscall(SYS_kill, (long)syscall(SYS_getpid), SIGKILL); }

/* 0: go on; 1: the call fails with errno; 2: write half of it, then die. */
static int strike(char kind, int file) {
    if (!plan || !plan->armed || plan->armed != syscall(SYS_getpid)) return 0;
    int64_t here = __atomic_add_fetch(&plan->calls, 1, __ATOMIC_SEQ_CST);
    if (here <= NAMES) plan->kinds[here - 1] = kind;
    if (plan->action == KILL && here == plan->chosen) { plan->struck = 1; die(); }
    if (plan->action == TORN && here == plan->chosen) { plan->struck = 1; return kind == 'w' ? 2 : (die(), 0); }
    int hit = (plan->action == FAIL && here == plan->chosen) || (plan->action == FAIL_ALL && here >= plan->chosen);
    if (!hit || !file) return 0;
    /* A full disk still lets files be removed and closed. */
    if (plan->error == ENOSPC && (kind == 'u' || kind == 'c')) return 0;
    plan->struck = 1;
    errno = (int)plan->error;
    return 1;
}

/* Not the standard streams: whoever runs the trial reads them from files. */
static int regular(int descriptor) {
    struct stat found;
    return descriptor > 2 && syscall(SYS_fstat, descriptor, &found) == 0 && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode));
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int d, const void *b, size_t n) {
    REAL(write);
    if (regular(d)) switch (strike('w', 1)) { case 1: return -1; case 2: real(d, b, n / 2); die(); }
    return real(d, b, n);
}
ssize_t pwrite(int d, const void *b, size_t n, off_t o) {
    REAL(pwrite);
    if (regular(d)) switch (strike('w', 1)) { case 1: return -1; case 2: real(d, b, n / 2, o); die(); }
    return real(d, b, n, o);
}
ssize_t pwrite64(int d, const void *b, size_t n, off64_t o) {
    REAL(pwrite64);
    if (regular(d)) switch (strike('w', 1)) { case 1: return -1; case 2: real(d, b, n / 2, o); die(); }
    return real(d, b, n, o);
}
ssize_t writev(int d, const struct iovec *v, int n) { REAL(writev); return regular(d) && strike('v', 1) ? -1 : real(d, v, n); }
ssize_t sendfile(int o, int i, off_t *p, size_t n) { REAL(sendfile); return regular(o) && strike('v', 1) ? -1 : real(o, i, p, n); }
ssize_t sendfile64(int o, int i, off64_t *p, size_t n) { REAL(sendfile64); return regular(o) && strike('v', 1) ? -1 : real(o, i, p, n); }
ssize_t copy_file_range(int i, off64_t *a, int o, off64_t *b, size_t n, unsigned f) {
    REAL(copy_file_range);
    return strike('v', 1) ? -1 : real(i, a, o, b, n, f);
}
int fsync(int d) { REAL(fsync); return regular(d) && strike('s', 1) ? -1 : real(d); }
int fdatasync(int d) { REAL(fdatasync); return regular(d) && strike('s', 1) ? -1 : real(d); }
int ftruncate(int d, off_t n) { REAL(ftruncate); return strike('t', 1) ? -1 : real(d, n); }
int ftruncate64(int d, off64_t n) { REAL(ftruncate64); return strike('t', 1) ? -1 : real(d, n); }
int rename(const char *a, const char *b) { REAL(rename); return strike('r', 1) ? -1 : real(a, b); }
int renameat(int d, const char *a, int e, const char *b) { REAL(renameat); return strike('r', 1) ? -1 : real(d, a, e, b); }
int link(const char *a, const char *b) { REAL(link); return strike('l', 1) ? -1 : real(a, b); }
int symlink(const char *a, const char *b) { REAL(symlink); return strike('l', 1) ? -1 : real(a, b); }
int unlink(const char *p) { REAL(unlink); return strike('u', 1) ? -1 : real(p); }
int unlinkat(int d, const char *p, int f) { REAL(unlinkat); return strike('u', 1) ? -1 : real(d, p, f); }
int rmdir(const char *p) { REAL(rmdir); return strike('u', 1) ? -1 : real(p); }
int mkdir(const char *p, mode_t m) { REAL(mkdir); return strike('m', 1) ? -1 : real(p, m); }
int mkdirat(int d, const char *p, mode_t m) { REAL(mkdirat); return strike('m', 1) ? -1 : real(d, p, m); }
int fchmod(int d, mode_t m) { REAL(fchmod); return strike('c', 1) ? -1 : real(d, m); }
int chmod(const char *p, mode_t m) { REAL(chmod); return strike('c', 1) ? -1 : real(p, m); }

static int makes(int flags) { return flags & (O_CREAT | O_TRUNC) && !(flags & O_TMPFILE & ~O_DIRECTORY); }
static int ordinary(const char *path) { return strncmp(path, "/dev/", 5) && strncmp(path, "/proc/", 6); }

#define OPEN(name) \
    int name(const char *p, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (makes(flags) && ordinary(p) && strike('o', 1)) return -1; \
        return real(p, flags, mode); \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name) \
    int name(int d, const char *p, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (makes(flags) && ordinary(p) && strike('o', 1)) return -1; \
        return real(d, p, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

int connect(int d, const struct sockaddr *a, socklen_t n) { REAL(connect); strike('n', 0); return real(d, a, n); }
ssize_t send(int d, const void *b, size_t n, int f) { REAL(send); strike('n', 0); return real(d, b, n, f); }
ssize_t sendto(int d, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l) {
    REAL(sendto);
    strike('n', 0);
    return real(d, b, n, f, a, l);
}
ssize_t sendmsg(int d, const struct msghdr *m, int f) { REAL(sendmsg); strike('n', 0); return real(d, m, f); }

int clock_gettime(clockid_t clock, struct timespec *t) {
    REAL(clock_gettime);
    int answer = real(clock, t);
    if (!answer && plan && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += plan->skew;
    return answer;
}
int gettimeofday(struct timeval *t, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int answer = real(t, zone);
    if (!answer && plan) t->tv_sec += plan->skew;
    return answer;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
