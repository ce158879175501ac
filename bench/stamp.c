/* The job of the benches of lateness: appends the wall clock (unix seconds, a C double) to the file that is named, in
 * one write, and ends. So every scheduler is judged by when its programs really began. */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = now.tv_sec + now.tv_nsec / 1e9;
    int file = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
    return file < 0 || write(file, &seconds, sizeof seconds) != sizeof seconds;
}
