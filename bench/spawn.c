/* What the machine can do: starts COUNT commands with posix_spawn, WIDTH at once, each in a session of its own, takes
 * their output and their exits with poll and waitpid, and prints the commands done in a second, and the seconds until
 * the last one was started.
 *
 * spawn COUNT WIDTH PROGRAM [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int start(char **command, pid_t *pid)
{
    int ends[2];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (pipe2(ends, O_CLOEXEC))
        exit(2);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    posix_spawn_file_actions_adddup2(&files, ends[1], 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (posix_spawn(pid, command[0], &files, &attributes, command, environ))
        exit(3);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    return ends[0];
}

static double seconds(struct timespec *begin, struct timespec *end)
{
    return (end->tv_sec - begin->tv_sec) + (end->tv_nsec - begin->tv_nsec) / 1e9;
}

int main(int count, char **words)
{
    static char output[65536];
    if (count < 4)
        return 1;
    int wanted = atoi(words[1]), width = atoi(words[2]), started = 0, done = 0;
    struct pollfd *pipes = calloc(width, sizeof *pipes);
    pid_t *pids = calloc(width, sizeof *pids);
    struct timespec begin, last, end;
    for (int place = 0; place < width; place++)
        pipes[place] = (struct pollfd){.fd = -1, .events = POLLIN};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (done < wanted) {
        for (int place = 0; place < width && started < wanted; place++)
            if (pipes[place].fd < 0) {
                pipes[place].fd = start(words + 3, &pids[place]);
                started++;
                clock_gettime(CLOCK_MONOTONIC, &last);
            }
        poll(pipes, width, -1);
        for (int place = 0; place < width; place++) {
            int status;
            if (pipes[place].fd < 0 || !pipes[place].revents)
                continue;
            if (read(pipes[place].fd, output, sizeof output) > 0)
                continue;
            if (waitpid(pids[place], &status, 0) < 0 || status)
                return 4;
            close(pipes[place].fd);
            pipes[place].fd = -1;
            done++;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.1f %.6f\n", done / seconds(&begin, &end), seconds(&begin, &last));
    return 0;
}
