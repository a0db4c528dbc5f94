// What has to happen before the libraries of this process begin.

#if defined(__linux__)

#include <stdio.h>
#include <unistd.h>

// libmongoc keeps counters in a file of shared memory that is named after the process's number. If a process of that number was
// killed, its file is still there, and libmongoc complains of it on standard error while it is loaded, whether or not anybody
// wants MongoDB. In a container numbers come again with every start.
static void forget_old_counters(int argc, char **argv, char **environment) {
    (void)argc, (void)argv, (void)environment;
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/mongoc-%u", (unsigned)getpid());
    unlink(path);
}

// The only functions that run before those of shared libraries.
__attribute__((section(".preinit_array"), used)) static void (*before_libraries)(int, char **, char **) =
    forget_old_counters;

#endif
