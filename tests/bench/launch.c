/*
 * launch.c - runs programs as a container runtime does, and measures each.
 *
 *   launch NETNS FOLDER COUNT WORKERS
 *
 * Job N of COUNT, from 0 on, is FOLDER/N.args and FOLDER/N.env (words that end with a NUL, as in /proc/PID/cmdline) and
 * FOLDER/N.in, what the program gets on stdin. What it says goes to FOLDER/N.out, stdout and stderr together. WORKERS
 * processes take the jobs in order; all begin at once, in the network namespace NETNS. A job is done when its program
 * has ended and nobody holds its stdout any more, which is what runtimes wait for, too. One line for each:
 *
 *   N STATUS WALL USER SYSTEM FAULTS MEMORY SETTLED
 *
 * STATUS is the exit status (256 and more: a signal), times are in us. WALL is from before fork(2) until it is done,
 * SETTLED until processes that it left behind have ended, too; FAULTS are the minor page faults; MEMORY is the peak of
 * resident memory in KB. USER to MEMORY are getrusage(2)'s: of the program and of the children that it waited for. A
 * peak begins with that of the process that called exec (setmax_mm_hiwater_rss() in exec_mmap(), fs/exec.c): this one,
 * which is why it is small, static, and not written in Python. With several WORKERS nobody waits for what is left
 * behind, and SETTLED is WALL. The last line is `total WALL`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *folder;

static void fail(const char *what)
{
    fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static long long micros(struct timeval value)
{
    return value.tv_sec * 1000000LL + value.tv_usec;
}

/* The content of a job's file, with a NUL at the end. */
static char *content(int job, const char *suffix, size_t *size)
{
    char path[4096], *data;
    struct stat about;
    int fd;

    snprintf(path, sizeof path, "%s/%d.%s", folder, job, suffix);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 || fstat(fd, &about))
        fail(path);
    *size = about.st_size;
    if (!(data = malloc(*size + 1)) || read(fd, data, *size) != (ssize_t)*size)
        fail(path);
    data[*size] = 0;
    close(fd);
    return data;
}

static char **words(int job, const char *suffix)
{
    size_t size, count = 0;
    char *data = content(job, suffix, &size), **list;

    for (size_t at = 0; at < size; at++)
        count += !data[at];
    if (!(list = calloc(count + 1, sizeof *list)))
        fail(suffix);
    for (size_t at = 0, word = 0; word < count; at += strlen(data + at) + 1)
        list[word++] = data + at;
    return list;
}

/* Reads until nobody can write any more, and keeps it. */
static void keep(int from, int job)
{
    char path[4096], block[65536];
    ssize_t got;
    int to;

    snprintf(path, sizeof path, "%s/%d.out", folder, job);
    if ((to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
        fail(path);
    while ((got = read(from, block, sizeof block)) > 0)
        if (write(to, block, got) != got)
            fail(path);
    close(to);
}

static void run(int job, int alone)
{
    char **arguments = words(job, "args"), **environment = words(job, "env");
    size_t size;
    char *input = content(job, "in", &size);
    int in[2], out[2], status;
    long long begin, done;
    struct rusage usage;
    pid_t child;

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        fail("pipe");
    begin = now();
    if ((child = vfork()) < 0)
        fail("vfork");
    if (!child) {
        signal(SIGPIPE, SIG_DFL); /* what is ignored would stay so */
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        execve(arguments[0], arguments, environment);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    /* More than a pipe holds waits until the program reads; one that does not is no reason to die: no SIGPIPE here. */
    for (size_t at = 0; at < size;) {
        ssize_t written = write(in[1], input + at, size - at);
        if (written < 0)
            break;
        at += written;
    }
    close(in[1]);
    keep(out[0], job);
    close(out[0]);
    if (wait4(child, &status, 0, &usage) != child)
        fail("wait");
    done = now() - begin;
    while (alone && wait(NULL) > 0) /* what it left behind is ours: PR_SET_CHILD_SUBREAPER */
        ;
    printf("%d %d %lld %lld %lld %ld %ld %lld\n", job, WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status),
           done, micros(usage.ru_utime), micros(usage.ru_stime), usage.ru_minflt, usage.ru_maxrss, now() - begin);
    fflush(stdout);
}

int main(int count, char **arguments)
{
    int jobs, workers, namespace, gate[2], status, failed = 0;
    pid_t *children;
    atomic_int *next;
    long long begin;

    if (count != 5) {
        fprintf(stderr, "usage: launch NETNS FOLDER COUNT WORKERS\n");
        return 2;
    }
    folder = arguments[2];
    jobs = atoi(arguments[3]);
    workers = atoi(arguments[4]);
    if ((namespace = open(arguments[1], O_RDONLY | O_CLOEXEC)) < 0 || setns(namespace, CLONE_NEWNET))
        fail(arguments[1]);
    close(namespace);
    signal(SIGPIPE, SIG_IGN);
    next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    children = calloc(workers, sizeof *children);
    if (next == MAP_FAILED || !children || pipe2(gate, O_CLOEXEC) || prctl(PR_SET_CHILD_SUBREAPER, 1))
        fail("preparation");
    for (int worker = 0; worker < workers; worker++) {
        char nothing;
        if ((children[worker] = fork()) < 0)
            fail("fork");
        if (children[worker])
            continue;
        close(gate[1]);
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* which is not inherited */
        if (read(gate[0], &nothing, 1)) /* until the gate is closed */
            fail("gate");
        for (int job; (job = atomic_fetch_add(next, 1)) < jobs;)
            run(job, workers == 1);
        _exit(0);
    }
    begin = now();
    close(gate[1]);
    for (int worker = 0; worker < workers; worker++)
        if (waitpid(children[worker], &status, 0) < 0 || status)
            failed = 1;
    printf("total %lld\n", now() - begin);
    fflush(stdout);
    while (wait(NULL) > 0) /* so that nothing goes on while the next is measured */
        ;
    return failed ? 1 : 0;
}
